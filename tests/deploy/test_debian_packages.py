"""The closure of Debian's Depends, on small package indexes."""

import pytest

from deploy.local.debian_packages import LEFT_OUT, Package, closure, parse_depends, read_index, replaced_pins
from deploy.local.trouble import Trouble

INDEX = b"""Package: server
Version: 2:1.0-1
Pre-Depends: libc6 (>= 2.38)
Depends: libssl3t64 (>= 3.4), perl:any, mailer | libnotify1, data-file
Description: a server
 Depends: this line is description and no field

Package: libc6
Version: 2.41-12
Depends: libgcc-s1

Package: libgcc-s1
Version: 14.2.0-19
Depends: libc6 (>= 2.36)

Package: libssl3t64
Version: 3.5.1-1
Depends: libc6

Package: libnotify1
Version: 0.8-1

Package: postfix
Version: 3.10-1
Provides: mailer, mail-reader (= 1)

Package: data-file
Version: 1
Architecture: all
"""


def names(packages: list[Package]) -> set[str]:
    return {package.name for package in packages}


def test_the_closure_holds_everything_needed_once_and_ends_at_circles() -> None:
    found = closure(read_index(INDEX), ["server"])
    assert names(found) == {"server", "libc6", "libgcc-s1", "libssl3t64", "postfix", "data-file"}
    assert len(found) == len(names(found))


def test_a_virtual_package_is_satisfied_by_its_provider() -> None:
    assert read_index(INDEX).providers == {"mailer": ["postfix"], "mail-reader": ["postfix"]}
    assert "postfix" in names(closure(read_index(INDEX), ["server"]))


def test_a_provider_that_is_already_chosen_is_enough() -> None:
    found = closure(read_index(INDEX), ["postfix", "server"])
    assert "libnotify1" not in names(found)


def test_packages_of_maintainer_scripts_are_left_out_with_all_their_dependencies() -> None:
    found = closure(read_index(INDEX), ["server"])
    assert "perl" not in names(found)
    for name in ("perl-base", "libllvm19", "systemd", "postgresql-common-dev", "locales-all", "libjs-jquery"):
        assert LEFT_OUT.fullmatch(name), name
    for name in ("libc6", "libsystemd0", "postgresql-17", "postgresql-client-17", "libdbus-1-3", "prometheus"):
        assert not LEFT_OUT.fullmatch(name), name


def test_versions_and_epochs_are_read_as_they_stand() -> None:
    server = read_index(INDEX).find("server")
    assert server == Package(
        "server", "2:1.0-1", (("libc6",), ("libssl3t64",), ("perl",), ("mailer", "libnotify1"), ("data-file",))
    )


def test_a_package_the_suite_lacks_is_named() -> None:
    with pytest.raises(Trouble, match="no package mosquitto"):
        closure(read_index(INDEX), ["mosquitto"])


def test_alternatives_versions_and_architectures_are_parsed() -> None:
    assert parse_depends("a (>= 1~) | b:any, c [amd64], , d") == (("a", "b"), ("c",), ("d",))
    assert parse_depends("") == ()


def test_a_pin_the_mirror_has_replaced_is_said() -> None:
    packages = [Package("a", "2"), Package("b", "1")]
    assert replaced_pins(packages, {"a": "1", "b": "1"}) == ["a 1 was pinned, the mirror has 2: taking that"]
