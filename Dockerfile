# Untested: we have not built this yet. It does what docs/first-organisation.md does by hand.
FROM python:3.11-slim
WORKDIR /srv/tournee
COPY requirements.txt pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements.txt
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
 && useradd --system --home-dir /var/lib/tournee --create-home tournee
USER tournee
ENV TOURNEE_DIRECTORY=/var/lib/tournee TOURNEE_HOST=0.0.0.0 TOURNEE_LOG_FORMAT=json TOURNEE_DEMO=0
VOLUME /var/lib/tournee
EXPOSE 8000
CMD ["tournee", "run"]
