"""The page docs/configuration.md, written from the tables of settings and of old names."""

from collections.abc import Iterable

from fastlane.config.legacy import ALIASES, PASSWORD, USER, USERNAME
from fastlane.config.pools import LIMIT_KEYS, POLICY_KEYS
from fastlane.config.settings import SETTINGS


def markdown() -> str:
    """The page."""
    rows = [f"| `{row.name}` | {row.default} | {row.meaning}{' (secret)' if row.secret else ''} |" for row in SETTINGS]
    old = [f"| `{alias.old}` | `{alias.new}` | {alias.meaning} |" for alias in ALIASES]
    old.append(f"| `{USERNAME}` (also `{USER}`) with `{PASSWORD}` | `users` | see below |")
    files = [f"`{row.variable}_FILE`" for row in SETTINGS if row.secret]
    keys = {"policy": _listed(POLICY_KEYS), "limits": _listed(LIMIT_KEYS)}
    return PAGE.format(rows="\n".join(rows), old="\n".join(old), secrets=f"{', '.join(files[:-1])} and {files[-1]}", **keys)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


PAGE = """\
# Configuration

<!-- Written by `fastlane config --markdown`; change the table in fastlane/config/settings.py instead. -->

fastlane runs without any. What you set is read once, at the start; everything wrong with it is named at once, and the exit code is 2.
`fastlane config` shows each setting's value here and now, and where it comes from.

A value comes from, first to last:

1. an option of the command: `fastlane up --port 8080`
2. the environment: `FASTLANE_PORT=8080` (an empty variable is the same as none)
3. the file `fastlane.toml` in the current directory, or the one that `--config` or `FASTLANE_CONFIG` names: `port = 8080`
4. the default.

| name | default | meaning |
| --- | --- | --- |
{rows}

- Durations are written as in `startIn`: `15s`, `2m30s`, `1h`; never as a bare number. Sizes: `512KiB`, `1MiB`, or a number of bytes.
- A relative path starts at the current directory.
- A secret may stand in a file of its own instead: {secrets} name one.
- In the environment lists of words (`trusted_proxies`, `allowed_origins`, `redact_words`) are separated by commas, and tables
  (`pools`, `registries`, `users`, `tokens`) are a JSON list of objects.
- A name that is not known is a fault, in the file and for variables that start with `FASTLANE_`.

## Pools

A pool says which tasks run on which Docker hosts, and how many of their executions at once. `match` is a regular expression that is
matched from the start of the task's id; the first pool that matches has the task. Without any, there is one for all tasks: on the engine
that `DOCKER_HOST` names (`unix://` or `tcp://`), else on `unix:///var/run/docker.sock`.

```toml
[[pools]]
name = "reports"
match = "report-"
hosts = ["10.0.0.7:2375", "10.0.0.8:2375"]
maxRunning = 20

[[pools]]
name = "default"
match = ""
hosts = ["unix:///var/run/docker.sock"]
pull = "always"
```

| key | default | meaning |
| --- | --- | --- |
| `name` | required | 1 to 64 letters, digits, `_` and `-` |
| `match` | required | which tasks; the empty one matches all, and stands last |
| `hosts` | required | Docker engines, each a Swarm manager: `unix:///PATH`, `HOST:PORT`, `tcp://HOST:PORT` |
| `maxRunning` | 10 | how many executions of this pool run at once |
| `pull` | missing | `always` asks the registry for every image; `missing` only when a one-node swarm's engine does not have it |
| `policy` | nothing | what jobs may ask of their containers; [containers.md](containers.md) explains each key |
| `limits` | none | the most of a node that one container may have, and what it gets when its job does not say |

```toml
[[pools]]
name = "reports"
match = "report-"
hosts = ["10.0.0.7:2375"]
limits = {{ cpus = 2, memory = "1g", pids = 500 }}

[pools.policy]
user = ["1000", "1000:1000"]
mounts = ["/srv/reports:ro", "volume:cache-*", "tmpfs"]
networks = "backend"
stopGrace = "2m"
init = true
```

The keys of `policy`: {policy}.
Each is `true` (anything), `false` (nothing, the default), one text or a list of texts, of which one must fit: `*` in it stands for any
text. But `init` is `true` or `false`, and `stopGrace` the longest there may be. Texts of `mounts` are `/PATH` (that path of the node),
`/PATH/` (every path below it), `volume:NAME`, `tmpfs` or `*`, each also with `:ro` at its end: only read-only. The keys of `limits`:
{limits}.

A pool with a policy needs `users` or `tokens`: without them everybody who reaches the server could have what it allows, so `fastlane up`
and `fastlane api` do not start.

In the environment `FASTLANE_POOLS` is the same as JSON: `[{{"name": "default", "match": "", "hosts": ["10.0.0.7:2375"]}}]`.

## Registries

An image's registry is asked once, by the Docker host, before the first attempt; the nodes pull from it. One that wants a password is
named here:

```toml
[[registries]]
host = "registry.example.com:5000"
username = "ci"
passwordFile = "/run/secrets/registry"
```

| key | default | meaning |
| --- | --- | --- |
| `host` | required | `HOST` or `HOST:PORT`, as the names of its images begin; `docker.io` is Docker Hub |
| `username` | required | who fastlane is there |
| `password`, `passwordFile` | one of them required | the password, or the file that it stands in, read again when it changes |

The log-ins of `docker login` serve too: those of the user who runs the worker, or of the file that `docker_config` names, with its
credential helpers (`credHelpers`, `credsStore`). It is read again when it changes; what a helper says is remembered for a minute. Where a
registry stands in both, `registries` counts. A helper that fails is tried again until `pull_deadline`; one that is for all registries is
passed over for a registry that the configuration does not name. One that has not answered after 10 s is ended, and has failed. In the
environment `FASTLANE_REGISTRIES=[{{"host": "registry.example.com", "username": "ci", "passwordFile": "/run/secrets/registry"}}]`.

## Users and tokens

Without any, everybody who can reach the server may do everything. With some, each request says who sends it, with HTTP Basic or a bearer
token, but for `/livez` and `/healthcheck`. [security.md](security.md) tells the rest.

```toml
[[users]]
name = "anna"
password = "scrypt:15:8:3:…"   # made by: fastlane password
role = "admin"

[[tokens]]
name = "ci"
token = "sha256:…"             # made, with the token itself, by: fastlane token
role = "run"
tasks = "build-"
```

| key | default | meaning |
| --- | --- | --- |
| `name` | required | 1 to 64 characters, no `:`; it stands in `requestedBy` |
| `password`, `token` | required | the hash, never the secret itself |
| `role` | required | `read`; `run`: also writes on tasks and their jobs; `admin`: also pools and hosts |
| `tasks` | all | a regular expression like a pool's `match`: the tasks that this one may see and use |

In the environment they are JSON: `FASTLANE_TOKENS=[{{"name": "ci", "token": "sha256:…", "role": "run"}}]`.

## Names of fastlane 2.x

These are read from the environment, or from the file where TOML can say them; each is answered with a warning that names the new one, which
wins when both are there.

| name of 2.x | name now | difference |
| --- | --- | --- |
{old}

`BASIC_AUTH_…` is one user with the role `admin`; the name without the password, or the other way round, is a fault. A hash in `users` is
better: then the password stands nowhere. The `my.conf` that 2.x read was Python; `fastlane.toml` is TOML.
"""
