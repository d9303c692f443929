"""A body that does not come is not waited for, and the event loop serves others meanwhile."""

import socket

from rest.serving import HOSTS, VERSION, Served, Start, listening

from vectrograph.http_app import build_http_app


def test_a_body_that_stops_coming_is_answered_408(start: Start) -> None:
    made = start()
    application = build_http_app(made.services, allowed_hosts=HOSTS, version=VERSION, body_seconds=0.3)
    with listening(application) as port:
        quick = Served(port, made.services, made.engine)
        head = (
            "POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {quick.login('developer')}\r\nContent-Length: 50\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(head.encode() + b'{"text": ')
            answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"REQUEST_TIMEOUT" in answer
