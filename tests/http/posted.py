"""What tests of bodies post, and what the answer says is wrong with it."""

OK = {"image": "ubuntu:latest"}
CRON = {"cron": "* * * * *"}


def faults(answer) -> dict[str, str]:
    assert answer.status == 400, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    return {fault["field"]: fault["message"] for fault in answer.json["errors"]}
