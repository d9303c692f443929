"""The server as a process: its listening sockets, certificates, log lines, limits and its end."""
