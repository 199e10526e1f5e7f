# Two stages: the first has what is needed to install, the second only what is needed to run.

FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY requirements.lock .
RUN pip install --require-hashes -r requirements.lock
COPY . .
# In development mode, so that no secret is needed and none can stay in a layer.
RUN ENVIRONMENT=development VAR_DIR=/tmp/var python manage.py collectstatic --noinput -v 0

FROM python:3.12-slim
# For the PDFs.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/pecportal --create-home pecportal
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ENVIRONMENT=production \
    VAR_DIR=/var/lib/pecportal \
    WEB_BIND=0.0.0.0:8000
WORKDIR /app
USER pecportal
VOLUME /var/lib/pecportal
EXPOSE 8000
# The first allowed host is named, because Django answers no other.
HEALTHCHECK --interval=15s --timeout=5s --start-period=40s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8000/healthz', headers={'Host': os.environ['ALLOWED_HOSTS'].split(',')[0].lstrip('.')}), timeout=4)"]
CMD ["gunicorn", "pecportal.wsgi", "--access-logfile", "-"]
