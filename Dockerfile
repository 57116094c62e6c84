# Two stages: what installs is not shipped. Bytecode is compiled here, because the image's file system may be read-only
# and every start would otherwise compile it again.
FROM python:3.13-slim-trixie AS install
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /opt/robotd
RUN python -m venv .
COPY requirements-image.lock ./
RUN bin/pip install --require-hashes --only-binary :all: --compile --requirement requirements-image.lock
COPY domain app/domain
COPY handlers app/handlers
COPY daemon app/daemon
COPY templates app/templates
RUN bin/python -m compileall -q app \
    && printf '#!/bin/sh\nexec /opt/robotd/bin/python -m daemon "$@"\n' > bin/robotd \
    && chmod +x bin/robotd

FROM python:3.13-slim-trixie
ENV PYTHONUNBUFFERED=1 PYTHONFAULTHANDLER=1 PYTHONPATH=/opt/robotd/app PATH=/opt/robotd/bin:$PATH
COPY --from=install /opt/robotd /opt/robotd
# The embedded database and robotd.yaml live here unless the settings say otherwise.
WORKDIR /var/lib/robotd
RUN chown 10001:10001 /var/lib/robotd
USER 10001:10001
STOPSIGNAL SIGTERM
# Asks /readyz where ROBOTD_OPS__PORT is set, and is content where it is not. It loads nothing but a socket.
HEALTHCHECK --interval=15s --timeout=6s --start-period=30s \
    CMD ["/opt/robotd/bin/python", "-I", "-S", "/opt/robotd/app/daemon/healthcheck.py"]
ENTRYPOINT ["robotd"]
CMD ["run"]
