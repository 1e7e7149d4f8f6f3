"""The page docs/configuration.md, written from the tables of settings and of old names."""

from fastlane.config import SETTINGS
from fastlane.config_legacy import ALIASES, PASSWORD, USER, USERNAME


def markdown() -> str:
    """The page."""
    rows = [f"| `{row.name}` | {row.default} | {row.meaning}{' (secret)' if row.secret else ''} |" for row in SETTINGS]
    old = [f"| `{alias.old}` | `{alias.new}` | {alias.meaning} |" for alias in ALIASES]
    old.append(f"| `{USERNAME}` (also `{USER}`) with `{PASSWORD}` | `users` | see below |")
    files = [f"`{row.variable}_FILE`" for row in SETTINGS if row.secret]
    return PAGE.format(rows="\n".join(rows), old="\n".join(old), secrets=f"{', '.join(files[:-1])} and {files[-1]}")


PAGE = """\
# Configuration

<!-- Written by `fastlane config --markdown`; change the table in fastlane/config.py instead. -->

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
  (`pools`, `users`, `tokens`) are a JSON list of objects.
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

In the environment `FASTLANE_POOLS` is the same as JSON: `[{{"name": "default", "match": "", "hosts": ["10.0.0.7:2375"]}}]`.

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
