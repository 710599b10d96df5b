"""The table of faults: name -> what it is, and what does it."""

from collections.abc import Callable
from dataclasses import dataclass

from deploy.chaos.arena import EDGES, SERVERS, SERVICES, Arena
from deploy.chaos.clock_arena import CLOCKED, ClockArena, PresentArena
from deploy.chaos.clock_devices import WrongClocks
from deploy.chaos.clock_faults import HOUR_S, StepClock
from deploy.chaos.cluster_arena import ClusterArena
from deploy.chaos.cluster_faults import (
    BelowInSync,
    FreezeLeader,
    KillBroker,
    KillLeaderDuringFreeze,
    KillTwoOfThree,
    LoseSightOfLeader,
    Roll,
)
from deploy.chaos.database_faults import FullPostgresDisk, HoldLock, RestoreEarlier, TerminateBackends
from deploy.chaos.disk_faults import DamagedSegment, FlippedSegment, FullSpoolDisk, TornSegment
from deploy.chaos.hostile_faults import Hostile
from deploy.chaos.kafka_faults import ProducerReset, RefusedBatch, RetentionPassesCursor
from deploy.chaos.line_faults import UnderWeather
from deploy.chaos.load_faults import Burst, Slowed
from deploy.chaos.log_faults import FlippedFrames, FlippedKafkaLog, FlippedLeaderLog
from deploy.chaos.process_faults import (
    Freeze,
    FullSpool,
    KillDuringFreeze,
    KillDuringRebalance,
    KillPair,
    KillTwice,
    RebalanceStorm,
    Terminate,
)

_CUT_S = 7.0
"""Longer than the arena's session timeout, and than a client waits before it connects again."""
_HOLE_S = 10.5
"""Longer than the arena's keep-alives and command timeout, which alone find it: a line that is away for less would prove nothing."""
_RESET_MOST_S = 10.0
"""It ends when its resets are used up."""
_SLOW_S = 8.0
_LOST_S = 10.0
_LATENCY_S = 0.5
_BYTES_PER_S = 20_000
_BURST_FROM_PER_S = 200.0
"""Ten times this must get through the simulator and the broker on two cores that are busy with all the rest."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: a sentence for a person, and the act, which returns when the fault is over and everything was started again."""

    description: str
    act: Callable[[Arena], None]
    arena: type[Arena] = Arena
    """The kind of stack it is thrown at."""
    rate: float | None = None
    """Messages a second where the fault needs its own, whatever the trial's plan says."""


def _process_faults() -> dict[str, Fault]:
    found = {f"kill-{name}": Fault(f"kill -9 of {name}, twice", KillTwice(name)) for name in (*SERVICES, *SERVERS)}
    found |= {f"stop-{name}": Fault(f"SIGTERM of {name}, restart", Terminate(name)) for name in (*SERVICES, *SERVERS)}
    return found | {
        "freeze-process": Fault(
            "a processor frozen past its session timeout beside a second one", Freeze("process", "process2")
        ),
        "freeze-ingest": Fault("the gateway frozen past its keep-alive", Freeze("ingest")),
        "freeze-kafka": Fault("Kafka frozen", Freeze("kafka")),
        "freeze-postgres": Fault("PostgreSQL frozen", Freeze("postgres")),
        "freeze-mosquitto": Fault("Mosquitto frozen", Freeze("mosquitto")),
        "rebalance-storm": Fault("a second processor joins and leaves every 5 s for a minute", RebalanceStorm(60.0)),
        "pair-mosquitto-ingest": Fault("broker and gateway killed together", KillPair("mosquitto", "ingest")),
        "pair-kafka-frozen-process": Fault("Kafka killed while a processor is frozen", KillDuringFreeze("kafka")),
        "pair-postgres-rebalance": Fault(
            "PostgreSQL killed while processors join and leave", KillDuringRebalance("postgres")
        ),
        "pair-spool-kafka-ingest": Fault(
            "Kafka away until the spool is full, the gateway killed then, Kafka back", FullSpool()
        ),
    }


def _line_faults() -> dict[str, Fault]:
    found: dict[str, Fault] = {}
    for edge in EDGES:
        name, line = f"{edge[0]}-{edge[1]}", f"between {edge[0]} and {edge[1]}"
        found |= {
            f"cut-{name}": Fault(f"line cut {line}", UnderWeather(edge, _CUT_S, cut=True)),
            f"hole-{name}": Fault(f"black hole {line}", UnderWeather(edge, _HOLE_S, black_hole=True)),
            f"slow-{name}": Fault(f"500 ms latency {line}", UnderWeather(edge, _SLOW_S, latency_s=_LATENCY_S)),
            f"narrow-{name}": Fault(f"20 kB/s {line}", UnderWeather(edge, _SLOW_S, bytes_per_s=_BYTES_PER_S)),
            f"reset-{name}": Fault(
                f"connections reset in mid-packet {line}", UnderWeather(edge, _RESET_MOST_S, resets=3)
            ),
        }
    return found


def _lost_answers() -> dict[str, Fault]:
    return {
        "lost-commit": Fault(
            "every 4th answer to a processor's COMMIT lost",
            UnderWeather(("process", "postgres"), _LOST_S, lose_every=4),
        ),
        "lost-produce": Fault(
            "every 20th answer to the gateway's produce lost", UnderWeather(("ingest", "kafka"), _LOST_S, lose_every=20)
        ),
        "lost-puback": Fault(
            "every 200th PUBACK to a device lost", UnderWeather(("simulator", "mosquitto"), _LOST_S, lose_every=200)
        ),
        "hostile-broker": Fault("malformed packets between the broker's real ones, six of them fatal", Hostile()),
        "backends": Fault("busy backends terminated for a minute", TerminateBackends(60.0)),
        "lock": Fault("the table of cursors locked for 30 s", HoldLock(30.0)),
        "restore": Fault("the database put back to what it was 12 s before", RestoreEarlier(12.0)),
    }


def _disk_faults() -> dict[str, Fault]:
    return {
        "full-spool-disk": Fault(
            "Kafka away and the spool's file system full, the gateway killed and started on it", FullSpoolDisk()
        ),
        "full-postgres-disk": Fault("PostgreSQL's file system full, room again after a while", FullPostgresDisk()),
        "torn-segment": Fault("Kafka away, the gateway killed in the middle of a write, three times", TornSegment()),
        "flipped-segment": Fault("a bit flipped in each of four records of the spool", FlippedSegment()),
        "damaged-segment": Fault("a record of the spool damaged beyond mending", DamagedSegment()),
        "flipped-kafka-log": Fault("a bit flipped in a batch on Kafka's disk before it is read", FlippedKafkaLog()),
        "flipped-frame": Fault("damaged copies of frames written between the gateway's", FlippedFrames()),
    }


def _kafka_faults() -> dict[str, Fault]:
    return {
        "retention-passes-cursor": Fault(
            "half of what the processor has not read deleted from Kafka while it is away", RetentionPassesCursor()
        ),
        "refused-batch": Fault("every batch of the gateway refused as too large for a while", RefusedBatch()),
        "producer-reset": Fault(
            "Kafka forgets the gateway's producer again and again, and answers to it are lost", ProducerReset()
        ),
    }


def _load_faults() -> dict[str, Fault]:
    return {
        "burst": Fault("ten times the load for a minute", Burst(60.0), rate=_BURST_FROM_PER_S),
        "slow-process": Fault("the processor slowed to a fifth for a minute", Slowed("process", 60.0)),
        "slow-kafka": Fault("Kafka slowed to a fifth", Slowed("kafka", 20.0)),
        "slow-postgres": Fault("PostgreSQL slowed to a fifth", Slowed("postgres", 20.0)),
    }


def _cluster_faults() -> dict[str, Fault]:
    acts: dict[str, tuple[str, Callable[[Arena], None]]] = {
        "cluster-one-killed": ("kill -9 of one of three brokers, which leads a partition of the readings", KillBroker()),
        "cluster-coordinator-killed": (
            "kill -9 of the broker that coordinates the processors' group", KillBroker(coordinator=True)
        ),
        "cluster-two-killed": ("kill -9 of two of three brokers: no majority", KillTwoOfThree()),
        "cluster-below-in-sync": ("one of three brokers left, alone in sync: it takes nothing", BelowInSync()),
        "cluster-leader-frozen": ("the broker that leads a partition frozen past its session", FreezeLeader()),
        "cluster-leader-unseen": (
            "black hole between the gateway and one broker, which leads on for all others", LoseSightOfLeader()
        ),
        "cluster-flipped-log": ("a bit flipped in a batch on the disk of its leader before it is read", FlippedLeaderLog()),
        "cluster-rolling": ("each of three brokers restarted in turn", Roll()),
        "pair-leader-frozen-process": (
            "a partition's leader killed while a processor is frozen beside a second one", KillLeaderDuringFreeze()
        ),
    }  # fmt: skip
    return {name: Fault(description, act, ClusterArena) for name, (description, act) in acts.items()}


def _clock_faults() -> dict[str, Fault]:
    words = "devices in 1970, in 2099, seven hours ahead, an hour ahead and an hour behind"
    found = {"devices-clock-wrong": Fault(words, WrongClocks(), PresentArena)}
    for part in CLOCKED:
        for way, by_s in (("forward", HOUR_S), ("back", -HOUR_S)):
            words = f"{part}'s clock steps an hour {way} while it runs, and is set right"
            found[f"clock-{way}-{part}"] = Fault(words, StepClock(part, by_s), ClockArena)
    return found


FAULTS: dict[str, Fault] = _process_faults() | _lost_answers() | _line_faults() | _disk_faults()
FAULTS |= _kafka_faults() | _load_faults() | _cluster_faults() | _clock_faults()
"""Every fault by its name; those of another arena than the usual stand together."""
