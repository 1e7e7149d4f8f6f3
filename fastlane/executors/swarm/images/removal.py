"""The removal of an image that nobody uses from an engine.

An engine pulls ``NAME@sha256:…`` for a service without giving it a tag. So an image with a tag is someone's own. An engine refuses to
remove what a container uses, running or not. A service may need an image and have no container now: that is looked for here.
"""

from docker.errors import APIError, NotFound

from fastlane.executors.swarm.client.client import Api
from fastlane.models.container.pulled_image import ImageRemoval


def remove_image(api: Api, reference: str) -> ImageRemoval:
    """Removes an image. Images that it was built from stay."""
    digest = reference.rpartition("@")[2]
    if any(_runs(service, digest) for service in api.services()):
        return ImageRemoval.IN_USE
    try:
        if api.inspect_image(reference).get("RepoTags"):
            return ImageRemoval.NAMED
        api.remove_image(reference, force=False, noprune=True)
    except NotFound:
        return ImageRemoval.GONE
    except APIError as error:
        if error.status_code == 409:
            return ImageRemoval.IN_USE
        raise
    return ImageRemoval.REMOVED


def _runs(service: Api, digest: str) -> bool:
    """Whether a service runs this image, or would after a rollback."""
    specs = (service.get("Spec") or {}, service.get("PreviousSpec") or {})
    return any(digest in str(((spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}).get("Image", "")) for spec in specs)
