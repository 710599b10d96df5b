"""The Debian packages that are fetched, and the versions this release was tested with.

What pip fetches is pinned in requirements.lock, Kafka's jars in deploy/kafka/jars.lock.
"""

from deploy.local.debian_prefix import Prefix

SERVERS = Prefix(
    name="servers",
    suite="trixie",
    packages=(
        "postgresql-17",
        "postgresql-17-timescaledb",
        "prometheus",
        "prometheus-alertmanager",
        "libnss-wrapper",
    ),
    pins={
        "postgresql-17": "17.12-0+deb13u1",
        "postgresql-17-timescaledb": "2.19.3+dfsg-1+deb13u1",
        "prometheus": "2.53.3+ds1-2",
        "prometheus-alertmanager": "0.28.1+ds-1",
    },
    needed_mb=900,
    relative_paths={
        "usr/bin/prometheus-alertmanager": "/usr/share/prometheus/alertmanager",  # its default template
        "usr/bin/prometheus": "/usr/share/prometheus/web",  # its page
    },
    # They ask for the user's name when a cluster is made, and a user of LDAP or of a container is in no /etc/passwd.
    # The library does nothing unless its variables are set.
    added_libraries={
        "usr/lib/postgresql/17/bin/initdb": "libnss_wrapper.so",
        "usr/lib/postgresql/17/bin/postgres": "libnss_wrapper.so",
    },
)
MOSQUITTO = Prefix(
    name="mosquitto",
    suite="forky",  # 2.0 of trixie keeps its promises only at a quarter of the rate (FAILURES section 2)
    packages=("mosquitto",),
    pins={"mosquitto": "2.1.2-3"},
    needed_mb=250,
)
BROWSER = Prefix(
    name="browser",
    suite="trixie",
    packages=("chromium", "fonts-dejavu-core"),
    needed_mb=1500,
)
