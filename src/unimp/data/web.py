"""One picture from the web: polite, bounded, and never from a machine of one's own network."""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from unimp import __version__

USER_AGENT = f"unimp/{__version__} (pictures of a shop's own catalogue)"
MOST_REDIRECTS = 5
BLOCK = 1 << 16
WAIT_AGAIN = {429, 503}
"""Statuses whose Retry-After is obeyed."""


class FetchError(Exception):
    """Why a picture was not fetched, in a few words."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        """Seconds after which the host wants to be asked again; None where asking again is of no use."""


@dataclass(frozen=True)
class FetchLimits:
    """What one picture may cost."""

    bytes: int = 20 * 2**20
    seconds: float = 30.0
    """From the first name look-up to the last byte, redirects included."""
    allow_private: bool = False
    """For tests alone: also addresses of this machine and its network."""


def fetch(address: str, limits: FetchLimits) -> bytes:
    """The body behind an http(s) address; FetchError says why there is none.

    Every host's name is resolved once, checked, and connected to by the number that was checked: neither a
    redirect nor a name that changes its mind leads into a private network.
    """
    deadline = time.monotonic() + limits.seconds
    for _ in range(MOST_REDIRECTS + 1):
        connection, target = connect(address, limits, deadline)
        # A host that sends a byte now and then outlives every time-out of a socket, but not this.
        alarm = threading.Timer(max(0.0, deadline - time.monotonic()), hang_up, [connection])
        alarm.daemon = True
        alarm.start()
        try:
            connection.request("GET", target, headers={"User-Agent": USER_AGENT, "Accept": "image/*"})
            # closing the connection alone leaves the answer's end of it open
            with closing(connection.getresponse()) as response:
                if response.status in (301, 302, 303, 307, 308) and response.getheader("Location"):
                    address = urljoin(address, response.getheader("Location") or "")
                    continue
                return body(response, limits, deadline)
        except FetchError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= deadline:
                raise FetchError(f"took more than {limits.seconds:g} s") from None
            raise FetchError(reason_of(error)) from None
        finally:
            alarm.cancel()
            connection.close()
    raise FetchError(f"more than {MOST_REDIRECTS} redirects")


def hang_up(connection: http.client.HTTPConnection) -> None:
    held = connection.sock
    if held is not None:
        try:
            held.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def connect(address: str, limits: FetchLimits, deadline: float) -> tuple[http.client.HTTPConnection, str]:
    """An open connection to the checked number of the address's host, and what to ask there."""
    host, port, secure, target = parts_of(address)
    number = checked_number(host, port, limits)
    left = deadline - time.monotonic()
    if left <= 0:
        raise FetchError(f"took more than {limits.seconds:g} s")
    connection = http.client.HTTPConnection(host, port, timeout=left)
    connection.auto_open = 0  # it would look the name up again
    try:
        plain = socket.create_connection((number, port), timeout=left)
        connection.sock = plain
        if secure:
            connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
            connection.default_port = http.client.HTTPS_PORT  # no :443 in the Host header
    except OSError as error:
        connection.close()
        raise FetchError(reason_of(error)) from None
    return connection, target


def parts_of(address: str) -> tuple[str, int, bool, str]:
    """Host, port, whether it is https, and path with query; FetchError for anything but http(s)."""
    try:
        parts = urlsplit(address.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise FetchError("not a web address") from None
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise FetchError("not an http or https address")
    try:
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        raise FetchError("not a web address") from None
    secure = parts.scheme.lower() == "https"
    query = f"?{parts.query}" if parts.query else ""
    return (
        host,
        port or (443 if secure else 80),
        secure,
        quote((parts.path or "/") + query, safe="%/:=&?~#+!$,;'@()*[]"),
    )


def checked_number(host: str, port: int, limits: FetchLimits) -> str:
    """The IP address to connect to; FetchError when any that the name stands for is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchError(f"unknown host {host}") from None
    numbers = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not limits.allow_private:
        for number in numbers:
            if not is_public(number):
                raise FetchError(f"{host} is {number}, an address that is not public")
    return numbers[0]


def is_public(number: str) -> bool:
    """Whether an IP address, and any that it wraps, belongs to the public internet."""
    address = ipaddress.ip_address(number)
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour
        if wrapped is None and address in ipaddress.ip_network("64:ff9b::/96"):
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if wrapped is not None:
            return is_public(str(wrapped))
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def body(response: http.client.HTTPResponse, limits: FetchLimits, deadline: float) -> bytes:
    """The bytes of a good answer within the limits."""
    if response.status in WAIT_AGAIN:
        raise FetchError(f"status {response.status}", seconds_to_wait(response.getheader("Retry-After")))
    if response.status != 200:
        raise FetchError(f"status {response.status}", 1.0 if response.status >= 500 else None)
    if (response.length or 0) > limits.bytes:
        raise FetchError(f"larger than {limits.bytes / 2**20:g} MiB")
    received = bytearray()
    while block := response.read1(BLOCK):
        received += block
        if len(received) > limits.bytes:
            raise FetchError(f"larger than {limits.bytes / 2**20:g} MiB")
        if time.monotonic() >= deadline:
            raise FetchError(f"took more than {limits.seconds:g} s")
    if response.length:
        raise FetchError("ended before its end", 1.0)
    return bytes(received)


def seconds_to_wait(header: str | None) -> float:
    """Retry-After in seconds, whether it is a number or a date; 1 where there is none."""
    if header is None:
        return 1.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError):
        return 1.0


def reason_of(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"no safe connection ({error.reason or 'TLS'})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"no proper answer ({type(error).__name__})"
