"""Names and addresses of hosts."""

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit


def host_name(host: str) -> str:
    """Return the name or address of a `Host` header, without its port; nothing if it has none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Tell whether `host`, a name or an address, is this machine for itself."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return address.is_loopback


def is_address(host: str) -> bool:
    """Tell whether `host` is an address, and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def can_be_rebound(host: str) -> bool:
    """Tell whether `host` is a name that a stranger can own: one with a dot."""
    return "." in host and not is_address(host) and not is_loopback(host)
