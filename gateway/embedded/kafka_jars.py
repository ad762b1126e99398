"""The jars of the embedded Apache Kafka: a lock file for Java, and the way to fetch them.

The list is what `jgo` resolves from kafka_2.13, kafka-clients and log4j-slf4j-impl. (kafka-clients must be named:
without it another version is chosen, and the broker dies with NoSuchMethodError.) Keeping the result saves the
resolution and lets one digest prove that everyone runs the same code, as the hashes in requirements.lock do.
"""

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from gateway.processes import ProcessError, Progress

KAFKA_VERSION: Final = "4.4.0"
_DOWNLOADS_AT_ONCE: Final = 8

# SHA-256 of the jars' own SHA-256 hex digests, one after the other in the order of JARS.
_DIGEST: Final = "98c9bd4d073861fa323edb1c2ae0e22305dfd449d49d3198dc0a84d236134408"

# group:artifact:version; 43 MB in all.
JARS: Final = (
    "at.yawk.lz4:lz4-java:1.11.2",
    "com.dynatrace.hash4j:hash4j:0.22.0",
    "com.fasterxml.jackson.core:jackson-annotations:2.19.1",
    "com.fasterxml.jackson.core:jackson-core:2.19.1",
    "com.fasterxml.jackson.core:jackson-databind:2.19.1",
    "com.fasterxml.jackson.dataformat:jackson-dataformat-yaml:2.19.1",
    "com.fasterxml.jackson.datatype:jackson-datatype-jdk8:2.19.1",
    "com.github.ben-manes.caffeine:caffeine:3.2.0",
    "com.github.luben:zstd-jni:1.5.7-4",
    "com.google.re2j:re2j:1.8",
    "com.typesafe.scala-logging:scala-logging_2.13:3.9.6",
    "com.yammer.metrics:metrics-core:2.2.0",
    "commons-beanutils:commons-beanutils:1.11.0",
    "commons-collections:commons-collections:3.2.2",
    "commons-digester:commons-digester:2.1",
    "commons-logging:commons-logging:1.3.5",
    "commons-validator:commons-validator:1.10.1",
    "net.sf.jopt-simple:jopt-simple:5.0.4",
    "net.sourceforge.argparse4j:argparse4j:0.7.0",
    "org.apache.kafka:kafka-clients:4.4.0",
    "org.apache.kafka:kafka-coordinator-common:4.4.0",
    "org.apache.kafka:kafka-group-coordinator:4.4.0",
    "org.apache.kafka:kafka-group-coordinator-api:4.4.0",
    "org.apache.kafka:kafka-metadata:4.4.0",
    "org.apache.kafka:kafka-raft:4.4.0",
    "org.apache.kafka:kafka-server:4.4.0",
    "org.apache.kafka:kafka-server-common:4.4.0",
    "org.apache.kafka:kafka-share-coordinator:4.4.0",
    "org.apache.kafka:kafka-storage:4.4.0",
    "org.apache.kafka:kafka-storage-api:4.4.0",
    "org.apache.kafka:kafka-tools-api:4.4.0",
    "org.apache.kafka:kafka-transaction-coordinator:4.4.0",
    "org.apache.kafka:kafka_2.13:4.4.0",
    "org.apache.logging.log4j:log4j-api:2.25.5",
    "org.apache.logging.log4j:log4j-core:2.25.5",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5",
    "org.bitbucket.b_c:jose4j:0.9.6",
    "org.hdrhistogram:HdrHistogram:2.2.2",
    "org.jspecify:jspecify:1.0.0",
    "org.pcollections:pcollections:4.0.2",
    "org.scala-lang:scala-library:2.13.18",
    "org.scala-lang:scala-reflect:2.13.18",
    "org.slf4j:slf4j-api:1.7.36",
    "org.xerial.snappy:snappy-java:1.1.10.7",
    "org.yaml:snakeyaml:2.4",
)


def fetch(cache: Path, progress: Progress) -> Path:
    """The folder with all jars below `cache`, downloaded at the first call. Safe to interrupt and to repeat.

    Raises `ProcessError` when they cannot be fetched, or are not the ones that this version was tested with.
    """
    folder = cache / f"kafka-{KAFKA_VERSION}"
    if not folder.is_dir():
        unfinished = cache / f"{folder.name}.{os.getpid()}"
        try:
            _download(unfinished, progress)
            _install(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _download(folder: Path, progress: Progress) -> None:
    """Each jar into `folder`, checked against its published SHA-1 by jgo and, all together, against our digest."""
    from jgo.maven import MavenContext  # here, as only the first start needs it
    from requests import RequestException

    maven = MavenContext(repo_cache=folder / "maven", timeout=60)
    coordinates = [jar.split(":") for jar in JARS]
    artifacts = [maven.project(group, name).at_version(version).artifact() for group, name, version in coordinates]
    digest = hashlib.sha256()
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        try:
            for count, path in enumerate(pool.map(lambda artifact: artifact.resolve(), artifacts), start=1):
                digest.update(hashlib.sha256(path.read_bytes()).hexdigest().encode())
                path.rename(folder / path.name)
                if count % 5 == 0:
                    progress(f"Fetching Apache Kafka {KAFKA_VERSION}: {count} of {len(JARS)} files")
        except (RequestException, RuntimeError) as error:
            raise ProcessError(f"Apache Kafka could not be fetched from the Maven repository: {error}.") from error
    if digest.hexdigest() != _DIGEST:
        raise ProcessError("The files of Apache Kafka that were fetched are not the expected ones; nothing was kept.")


def _install(unfinished: Path, folder: Path) -> None:
    shutil.rmtree(unfinished / "maven")
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster, with the same files
            raise
