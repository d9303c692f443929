"""Everything that a control database says about itself, to compare two that were made in different ways."""

from typing import Any, Final

from sqlalchemy import Engine, MetaData, inspect, select, text

_TRIGGERS: Final = {
    "sqlite": "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type IN ('trigger', 'view') ORDER BY name",
    "postgresql": "SELECT t.tgname, pg_get_triggerdef(t.oid), pg_get_functiondef(t.tgfoid) FROM pg_trigger AS t"
    " WHERE NOT t.tgisinternal ORDER BY t.tgname",
}


def schema_facts(engine: Engine) -> dict[str, Any]:
    """Return columns, keys, constraints and indexes of every table, triggers, and all rows."""
    looked = inspect(engine)
    facts: dict[str, Any] = {}
    for table in looked.get_table_names():
        facts[table] = {
            "columns": [{**column, "type": repr(column["type"])} for column in looked.get_columns(table)],
            "primary key": looked.get_pk_constraint(table),
            "foreign keys": _ordered(looked.get_foreign_keys(table)),
            "unique": _ordered(looked.get_unique_constraints(table)),
            "checks": _ordered(looked.get_check_constraints(table)),
            "indexes": _ordered(looked.get_indexes(table)),
        }
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        facts["triggers"] = [tuple(row) for row in connection.execute(text(_TRIGGERS[engine.dialect.name]))]
        facts["rows"] = {
            name: [tuple(row) for row in connection.execute(select(table))] for name, table in tables.tables.items()
        }
    return facts


def _ordered(found: list[Any]) -> list[Any]:
    return sorted(found, key=lambda each: str(each["name"]))
