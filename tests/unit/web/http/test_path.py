"""How the parameters in a path are read."""

import pytest

from fastlane.errors import Invalid, NotFound
from fastlane.web.http.query import read_path

ID = "0190a1b2-c3d4-8e5f-9a6b-7c8d9e0f1a2b"


def test_ids_are_read_in_lower_case_and_other_parameters_as_they_are():
    path = {"task_id": "Nightly", "job_id": ID.upper(), "pool": "Fast"}
    assert read_path(path, chooses_job_id=False) == {"task_id": "Nightly", "job_id": ID, "pool": "Fast"}


@pytest.mark.parametrize("name", ["job_id", "execution_id"])
def test_an_id_that_is_not_a_uuid_is_not_found(name):
    with pytest.raises(NotFound, match=f"there is no {name.removesuffix('_id')} 'x'"):
        read_path({name: "x"}, chooses_job_id=False)


def test_a_request_that_chooses_the_id_has_to_choose_a_uuid():
    with pytest.raises(Invalid) as caught:
        read_path({"job_id": "x"}, chooses_job_id=True)
    assert [fault.field for fault in caught.value.faults] == ["jobId"]
