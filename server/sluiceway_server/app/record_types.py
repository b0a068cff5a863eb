"""All record types of the database. Opening, verifying and importing use the same ones."""

from __future__ import annotations

from typing import Any

from sluiceway_server.datamanager.model import RecordType
from sluiceway_server.notifications import records as notification_records
from sluiceway_server.projects import records as project_records
from sluiceway_server.projects import secret_records
from sluiceway_server.runrecords import types as run_records
from sluiceway_server.triggers import records as trigger_records

RECORD_TYPES: tuple[RecordType[Any], ...] = (
    *run_records.RECORD_TYPES,
    *project_records.RECORD_TYPES,
    *trigger_records.RECORD_TYPES,
    *secret_records.RECORD_TYPES,
    *notification_records.RECORD_TYPES,
)
