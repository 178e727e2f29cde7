#!/usr/bin/env python3
"""Hold files of a bundle on an SMB share as a Mac does: durable handles with leases.

  mac-client.py PORT SHARE USER PASSWORD BUNDLE FILE...

Says "held" when all are open; at a line on standard input it goes away without a word, as a Mac does that
is closed. Needs smbprotocol (PyPI).
"""
import os
import sys
import uuid

from smbprotocol.connection import Connection
from smbprotocol.create_contexts import (
    CreateContextName,
    SMB2CreateContextRequest,
    SMB2CreateDurableHandleRequestV2,
    SMB2CreateDurableHandleResponseV2,
    SMB2CreateRequestLeaseV2,
)
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    ImpersonationLevel,
    Open,
    RequestedOplockLevel,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

port, share, user, password, bundle = sys.argv[1:6]
connection = Connection(uuid.uuid4(), "127.0.0.1", int(port))
connection.connect()
session = Session(connection, user, password, require_encryption=False)
session.connect()
tree = TreeConnect(session, rf"\\127.0.0.1\{share}")
tree.connect()


def context(name, data):
    request = SMB2CreateContextRequest()
    request["buffer_name"] = name
    request["buffer_data"] = data
    return request


def hold(path):
    durable = SMB2CreateDurableHandleRequestV2()
    durable["timeout"] = 0
    durable["flags"] = 0
    durable["create_guid"] = uuid.uuid4()
    lease = SMB2CreateRequestLeaseV2()
    lease["lease_key"] = uuid.uuid4().bytes
    lease["lease_state"] = 7
    lease["lease_flags"] = 0
    lease["epoch"] = b"\0\0"
    lease["parent_lease_key"] = b"\0" * 16
    file = Open(tree, path)
    answers = file.create(
        ImpersonationLevel.Impersonation,
        0x12019F,
        0x80,
        7,
        CreateDisposition.FILE_OPEN,
        CreateOptions.FILE_NON_DIRECTORY_FILE,
        [
            context(CreateContextName.SMB2_CREATE_DURABLE_HANDLE_REQUEST_V2, durable),
            context(CreateContextName.SMB2_CREATE_REQUEST_LEASE_V2, lease),
        ],
        oplock_level=RequestedOplockLevel.SMB2_OPLOCK_LEVEL_LEASE,
    )
    if not any(isinstance(a, SMB2CreateDurableHandleResponseV2) for a in answers or []):
        sys.exit(f"{path}: the handle is not durable")
    return file


held = [hold(rf"{bundle}\{name}") for name in sys.argv[6:]]
print("held", flush=True)
sys.stdin.readline()
os._exit(0)
