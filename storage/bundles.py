"""Which bundles there are and which one judges accounts now."""

from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy import Connection, Text, cast, insert, select, update

from schemas.bundles import BundleInfo, BundleManifest, BundleState
from schemas.errors import NotFoundError
from storage.tables import activations, bundles

MANIFESTS_HELD = 64


def bundle_key(bundle_id: str) -> str:
    """Return where in the blob store a bundle's folder lies."""
    return f"bundles/{bundle_id}"


def weights_key(sha256: str) -> str:
    """Return where in the blob store a file of fine-tuned weights lies."""
    return f"weights/{sha256}.safetensors"


def report_key(bundle_id: str) -> str:
    """Return where in the blob store a bundle's report lies; commands write it, pages show it."""
    return f"reports/{bundle_id}/report.html"


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
    if first:
        _note_activation(connection, bundle_id)
    return state


def list_bundles(connection: Connection) -> list[BundleInfo]:
    """Return all bundles, newest first."""
    query = select(bundles.c.id, bundles.c.state, cast(bundles.c.manifest, Text).label("manifest"))
    query = query.order_by(bundles.c.created_at.desc(), bundles.c.id)
    return [
        BundleInfo(id=row.id, state=BundleState(row.state), manifest=_read_manifest(row.manifest))
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
    if info.state is not BundleState.ACTIVE:
        _activate(connection, info.id)
        _note_activation(connection, info.id)
    return find_bundle(connection, info.id)


def roll_back_bundle(connection: Connection) -> tuple[BundleInfo, BundleInfo]:
    """Make the bundle active again that was so before the present one; return it and that one.

    Rolling back twice goes back two bundles, not to and fro.

    Raises:
        NotFoundError: no bundle is active, or none was before it.
    """
    present = find_bundle(connection)
    columns = activations.c
    standing = connection.execute(
        select(columns.id, columns.bundle_id)
        .where(columns.withdrawn_at.is_(None))
        .order_by(columns.id.desc())
    ).all()
    before = next((row for row in standing if row.bundle_id != present.id), None)
    if before is None:
        raise NotFoundError(
            f"No bundle was active before {present.id}: 'afin models promote' activates another."
        )
    connection.execute(
        update(activations)
        .where(columns.id > before.id, columns.withdrawn_at.is_(None))
        .values(withdrawn_at=datetime.now(UTC))
    )
    _activate(connection, before.bundle_id)
    return find_bundle(connection, before.bundle_id), find_bundle(connection, present.id)


@lru_cache(maxsize=MANIFESTS_HELD)
def _read_manifest(text: str) -> BundleManifest:
    """Return a manifest: every page needs one, and checking it takes longer than reading it."""
    return BundleManifest.model_validate_json(text)


def _activate(connection: Connection, bundle_id: str) -> None:
    connection.execute(
        update(bundles)
        .where(bundles.c.state == BundleState.ACTIVE, bundles.c.id != bundle_id)
        .values(state=BundleState.RETIRED)
    )
    connection.execute(
        update(bundles).where(bundles.c.id == bundle_id).values(state=BundleState.ACTIVE)
    )


def _note_activation(connection: Connection, bundle_id: str) -> None:
    connection.execute(
        insert(activations).values(bundle_id=bundle_id, activated_at=datetime.now(UTC))
    )
