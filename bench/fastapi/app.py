"""One-time codes as they are often written by hand: FastAPI, Redis, and little else.

It takes the native API's requests for a start, the inbox and a check, so that one load fits both. It limits sends
by recipient and by source in fixed windows, keeps a cooldown, stores a keyed digest of the code, pays for a
guess before it compares, and takes a code once. It does no more: no budget over all codes of a recipient, no
signed token, no log, no metrics, no phone-number rules beyond a pattern.
"""

import hashlib
import hmac
import os
import secrets
import uuid
from datetime import datetime, timedelta, timezone

import redis.asyncio as redis
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

TTL = 300
WINDOW = 600
PEPPER = secrets.token_bytes(32) if "PEPPER" not in os.environ else bytes.fromhex(os.environ["PEPPER"])

app = FastAPI()
store = redis.from_url(os.environ["REDIS_URL"])


class Start(BaseModel):
    to: str = Field(pattern=r"^\+[1-9][0-9]{6,14}$")
    channel: str = "sms"
    end_user_ip: str = ""


class Started(BaseModel):
    id: str
    status: str
    to: str
    channel: str
    created_at: datetime
    expires_at: datetime
    attempts_remaining: int


class Check(BaseModel):
    code: str = Field(pattern=r"^[0-9]{6}$")


class Checked(BaseModel):
    id: str
    status: str
    approved_at: datetime


def digest(id: str, code: str) -> bytes:
    return hmac.digest(PEPPER, f"{id}:{code}".encode(), "sha256")


def index(value: str) -> str:
    return hmac.digest(PEPPER, value.encode(), hashlib.sha256).hex()[:32]


@app.post("/v1/verifications", status_code=201)
async def start(body: Start) -> Started:
    recipient, source = index(body.to), index(body.end_user_ip)
    async with store.pipeline(transaction=True) as pipe:
        pipe.incr(f"limit:{recipient}")
        pipe.expire(f"limit:{recipient}", WINDOW, nx=True)
        pipe.incr(f"source:{source}")
        pipe.expire(f"source:{source}", WINDOW, nx=True)
        pipe.set(f"cooldown:{recipient}", 1, nx=True, ex=30)
        sends, _, from_source, _, cool = await pipe.execute()
    if sends > 3 or from_source > 30 or not cool:
        raise HTTPException(429, "too many codes", headers={"Retry-After": "30"})
    id, code = str(uuid.uuid4()), f"{secrets.randbelow(1_000_000):06}"
    now = datetime.now(timezone.utc)
    async with store.pipeline(transaction=True) as pipe:
        pipe.hset(f"code:{id}", mapping={"digest": digest(id, code), "attempts": 0})
        pipe.expire(f"code:{id}", TTL)
        # The message: whoever reads it is the recipient.
        pipe.set(f"inbox:{body.to}", code, ex=TTL)
        await pipe.execute()
    return Started(
        id=id,
        status="pending",
        to="+" + "•" * (len(body.to) - 5) + body.to[-4:],
        channel=body.channel,
        created_at=now,
        expires_at=now + timedelta(seconds=TTL),
        attempts_remaining=5,
    )


@app.get("/dev/messages")
async def messages(to: str) -> list[dict[str, str]]:
    code = await store.get(f"inbox:{to}")
    return [{"to": to, "code": code.decode()}] if code else []


@app.post("/v1/verifications/{id}/check")
async def check(id: str, body: Check) -> Checked:
    async with store.pipeline(transaction=True) as pipe:
        pipe.hincrby(f"code:{id}", "attempts", 1)
        pipe.expire(f"code:{id}", TTL, lt=True)
        pipe.hget(f"code:{id}", "digest")
        attempts, _, expected = await pipe.execute()
    if expected is None:
        # The count made a row of its own.
        await store.delete(f"code:{id}")
        raise HTTPException(404, "no such verification")
    if attempts > 5:
        raise HTTPException(410, "no attempts left")
    if not hmac.compare_digest(expected, digest(id, body.code)):
        raise HTTPException(422, "the code is not right")
    # Whoever deletes it had it.
    if not await store.delete(f"code:{id}"):
        raise HTTPException(404, "no such verification")
    return Checked(id=id, status="approved", approved_at=datetime.now(timezone.utc))
