"""What the host itself must have, checked before anything is fetched or started. Standard library only."""

import stat
from pathlib import Path

from deploy.local.debian_apt import architecture
from deploy.local.places import cache_folder, data_folder, is_root
from deploy.local.trouble import Trouble

ZONE = Path("/usr/share/zoneinfo/Europe/Brussels")


def check_host() -> None:
    """Raise Trouble in one sentence where the processor, the time zones or the folders will not do."""
    architecture()
    if not ZONE.exists():
        raise Trouble("this host has no time zone data, which PostgreSQL reads; install the Debian package tzdata")
    if is_root():
        for folder in (cache_folder(), data_folder()):
            check_others_may_enter(folder)


def check_others_may_enter(folder: Path) -> None:
    """Raise Trouble where a folder on the way is closed to other users: under root the servers run as one of them."""
    for part in [*reversed(folder.parents), folder]:
        if part.exists() and not part.stat().st_mode & stat.S_IXOTH:
            msg = (
                f"servers do not run as root, and other users may not enter {part}: open it with `chmod o+x`, or set "
                "CITYNERVE_CACHE and CITYNERVE_DATA to other folders"
            )
            raise Trouble(msg)
