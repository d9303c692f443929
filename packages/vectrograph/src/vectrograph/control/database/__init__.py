"""The account database: connection, tables, migrations, reserved space, copies."""
