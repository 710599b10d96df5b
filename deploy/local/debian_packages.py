"""Which Debian packages a server needs: the closure of Depends over a suite's package index. Pure."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from deploy.local.trouble import Trouble

_NAME = re.compile(rb"^Package: (\S+)$", re.MULTILINE)
_PROVIDES = re.compile(rb"^Provides: (.+)$", re.MULTILINE)
_BARE_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")

LEFT_OUT = re.compile(
    r"adduser|base-files|base-passwd|ca-certificates|dbus.*|dconf.*|debconf.*|default-.*|dpkg|gcc-\d+-base|gsettings-.*"
    r"|hicolor-icon-theme|adwaita-icon-theme|init-system-helpers|iso-codes|libc-bin|libjs-.*|libllvm.*|libpam-.*|locales.*"
    r"|lsb-base|media-types|mount|netbase|passwd|perl.*|libperl.*|libgdbm.*|postgresql-common.*|postgresql-client-common"
    r"|procps|sensible-utils|shared-mime-info|ssl-cert|systemd.*|sysvinit-utils|tzdata|ucf|util-linux|xdg-.*"
    r"|fonts-glyphicons-halflings|at-spi2-common|bsdextrautils|libgtk-3-bin"
)
"""Packages whose work is done by maintainer scripts, or that only a desktop or a system service needs. libllvm (120 MB)
is PostgreSQL's just-in-time compiler, which we switch off; tzdata is read from the host by Debian's PostgreSQL."""


@dataclass(frozen=True, slots=True)
class Package:
    """One package of a suite: each of `depends` is a list of alternatives, of which one is needed."""

    name: str
    version: str
    depends: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class SuiteIndex:
    """The packages of a suite by name, read from its Packages file on demand: 60 MB of text, 100 stanzas are needed."""

    find: Callable[[str], Package | None]
    providers: dict[str, list[str]] = field(default_factory=dict)


def read_index(text: bytes) -> SuiteIndex:
    """Index a Packages file: names and virtual packages at once, stanzas only when asked for."""
    starts = {match[1].decode(): match.start() for match in _NAME.finditer(text)}
    providers: dict[str, list[str]] = {}
    for match in _PROVIDES.finditer(text):
        start = text.rfind(b"\nPackage: ", 0, match.start())
        owner = text[start + 10 if start >= 0 else 9 : text.index(b"\n", start + 1 if start >= 0 else 0)].decode()
        for alternatives in parse_depends(match[1].decode()):
            for name in alternatives:
                providers.setdefault(name, []).append(owner)

    def find(name: str) -> Package | None:
        start = starts.get(name)
        if start is None:
            return None
        end = text.find(b"\n\n", start)
        return parse_stanza(text[start : end if end >= 0 else len(text)].decode())

    return SuiteIndex(find, providers)


def parse_stanza(stanza: str) -> Package:
    """Read one stanza of a Packages file."""
    fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
    depends = parse_depends(fields.get("Pre-Depends", "")) + parse_depends(fields.get("Depends", ""))
    return Package(fields["Package"], fields["Version"], depends)


def parse_depends(text: str) -> tuple[tuple[str, ...], ...]:
    """Read a Depends field into names: `a (>= 1) | b, c:any` gives `(("a", "b"), ("c",))`."""
    groups = []
    for group in text.split(","):
        names = tuple(found[0] for part in group.split("|") if (found := _BARE_NAME.match(part.strip())))
        if names:
            groups.append(names)
    return tuple(groups)


def closure(index: SuiteIndex, roots: Sequence[str], left_out: re.Pattern[str] = LEFT_OUT) -> list[Package]:
    """All packages that `roots` need, each once; raises Trouble where the suite lacks one.

    The first alternative of a Depends that exists is taken, unless one of them is chosen already or left out.
    """
    chosen: dict[str, Package] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in chosen:
            continue
        package = index.find(name)
        if package is None:
            msg = f"the Debian suite has no package {name}; set CITYNERVE_DEBIAN_MIRROR to a complete mirror"
            raise Trouble(msg)
        chosen[name] = package
        for alternatives in package.depends:
            needed = _choose(index, alternatives, chosen.keys(), left_out)
            if needed is not None:
                waiting.append(needed)
    return list(chosen.values())


def _choose(
    index: SuiteIndex, alternatives: Iterable[str], chosen: Iterable[str], left_out: re.Pattern[str]
) -> str | None:
    """The package that satisfies one Depends group, or None where it is satisfied or left out."""
    options = list(alternatives)
    if any(left_out.fullmatch(name) or name in chosen for name in options):
        return None
    for name in options:
        if index.find(name) is not None:
            return name
        owners = index.providers.get(name, [])
        if any(owner in chosen for owner in owners):
            return None
        for owner in owners:
            if left_out.fullmatch(owner):
                return None
            return owner
    return options[0]


def replaced_pins(packages: Iterable[Package], pins: dict[str, str]) -> list[str]:
    """Sentences about pinned packages whose version the mirror has replaced (the suite's current one is taken)."""
    return [
        f"{package.name} {pins[package.name]} was pinned, the mirror has {package.version}: taking that"
        for package in packages
        if package.name in pins and pins[package.name] != package.version
    ]
