"""Which bundles there are and which one judges accounts now."""

from sqlalchemy import Connection, insert, select, update

from schemas.bundles import BundleInfo, BundleManifest, BundleState
from schemas.errors import NotFoundError
from storage.tables import bundles


def bundle_key(bundle_id: str) -> str:
    """Return where in the blob store a bundle's folder lies."""
    return f"bundles/{bundle_id}"


def weights_key(sha256: str) -> str:
    """Return where in the blob store a file of fine-tuned weights lies."""
    return f"weights/{sha256}.safetensors"


def add_bundle(connection: Connection, bundle_id: str, manifest: BundleManifest) -> BundleState:
    """Record a bundle: active if it is the first, a candidate otherwise; twice changes nothing."""
    known = connection.scalar(select(bundles.c.state).where(bundles.c.id == bundle_id))
    if known is not None:
        return BundleState(known)
    first = connection.scalar(select(bundles.c.id).limit(1)) is None
    state = BundleState.ACTIVE if first else BundleState.CANDIDATE
    connection.execute(
        insert(bundles).values(
            id=bundle_id,
            state=state,
            manifest=manifest.model_dump(mode="json"),
            created_at=manifest.created_at,
        )
    )
    return state


def list_bundles(connection: Connection) -> list[BundleInfo]:
    """Return all bundles, newest first."""
    query = select(bundles).order_by(bundles.c.created_at.desc(), bundles.c.id)
    return [
        BundleInfo(
            id=row.id,
            state=BundleState(row.state),
            manifest=BundleManifest.model_validate(row.manifest),
        )
        for row in connection.execute(query)
    ]


def find_bundle(connection: Connection, bundle_id: str | None = None) -> BundleInfo:
    """Return one bundle by its id or an unambiguous beginning of it; without one, the active.

    Raises:
        NotFoundError: there is no such bundle, or none is active.
    """
    known = list_bundles(connection)
    if bundle_id is None:
        active = [info for info in known if info.state is BundleState.ACTIVE]
        if not active:
            raise NotFoundError("No model is active yet: train one with 'afin train'.")
        return active[0]
    found = [info for info in known if bundle_id and info.id.startswith(bundle_id)]
    if len(found) != 1:
        what = "several bundles" if found else "no bundle"
        raise NotFoundError(f"{bundle_id!r} names {what}: 'afin models list' shows their ids.")
    return found[0]


def promote_bundle(connection: Connection, bundle_id: str) -> BundleInfo:
    """Make a bundle the active one and retire the one that was.

    Raises:
        NotFoundError: there is no such bundle.
    """
    info = find_bundle(connection, bundle_id)
    connection.execute(
        update(bundles)
        .where(bundles.c.state == BundleState.ACTIVE, bundles.c.id != info.id)
        .values(state=BundleState.RETIRED)
    )
    connection.execute(
        update(bundles).where(bundles.c.id == info.id).values(state=BundleState.ACTIVE)
    )
    return find_bundle(connection, info.id)
