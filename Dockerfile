# MyPay in a container. docs/guides/deploy.md says how it is used, and what of this was tried.
#
#   docker build --target runtime -t mypay .          what runs in production: no compiler, no pip, no tests, not root
#   docker build --target development -t mypay-dev .  the checkout with all its tools: pytest works in it

FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/mypay/bin:$PATH
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin mypay

FROM base AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils make \
    && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir --disable-pip-version-check uv && python -m venv --without-pip /opt/mypay
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY migrations migrations
COPY providers providers
COPY streams streams

FROM build AS installed
# The versions and hashes of the lock, of what the program itself needs. Then what no process reads is taken out:
# symbols for debuggers, and the maps of phonenumbers. Importing makes the byte code of what processes import: later the
# root is read-only.
RUN uv pip install --no-cache --python /opt/mypay/bin/python --constraint requirements.lock . \
    && find /opt/mypay -name '*.so*' -type f -exec strip --strip-debug {} + \
    && rm -rf /opt/mypay/lib/python3.11/site-packages/phonenumbers/geodata \
    && find /opt/mypay -name '*.pyc' -delete \
    && PYTHONDONTWRITEBYTECODE= /opt/mypay/bin/python -c "import gateway.app, gateway.cli_admin, gateway.cli_migrate, \
streams.app, streams.explain, streams.doctor.checks, providers.simulators; providers.simulators.simulators()"

FROM base AS runtime
RUN pip uninstall --yes --quiet pip setuptools wheel && rm -rf /usr/local/lib/python3.11/ensurepip
COPY --from=installed /opt/mypay /opt/mypay
USER 10001:10001
WORKDIR /home/mypay
ENV API_HOST=0.0.0.0
EXPOSE 5000 9100
STOPSIGNAL SIGTERM
ENTRYPOINT ["mypay"]
CMD ["api"]

FROM build AS development
RUN uv pip install --no-cache --python /opt/mypay/bin/python --require-hashes -r requirements.lock
COPY . .
RUN uv pip install --no-cache --python /opt/mypay/bin/python --no-deps --no-build-isolation --editable . \
    && chown -R mypay:mypay /src
USER 10001:10001
ENV API_HOST=0.0.0.0
EXPOSE 5000 9100
ENTRYPOINT ["mypay"]
CMD ["api"]
