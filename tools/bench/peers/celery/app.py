"""Registration with the same HTTP contract in Python: FastAPI, argon2-cffi, asyncpg, Celery."""

import asyncio
import os
import secrets
import uuid
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

import asyncpg
from argon2 import PasswordHasher
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, EmailStr, Field

from tasks import send_code

hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=8) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


class NewUser(BaseModel):
    email: EmailStr
    password: str = Field(min_length=8, max_length=128)


@app.get("/health")
async def health(request: Request) -> dict[str, str]:
    await request.app.state.pool.fetchval("SELECT 1")
    return {"status": "ok"}


@app.post("/v1/users", status_code=202)
async def register(user: NewUser, request: Request, response: Response) -> dict[str, str | int]:
    # In a thread: argon2 releases the interpreter lock, so that the event loop serves other requests.
    password_hash = await asyncio.to_thread(hasher.hash, user.password)
    registration, code = uuid.uuid4(), uuid.uuid4()
    digits = f"{secrets.randbelow(10_000):04}"
    now = datetime.now(timezone.utc)
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "INSERT INTO registrations (id, email, password_hash, created_at) VALUES ($1, $2, $3, $4)",
            registration, user.email, password_hash, now,
        )
        await connection.execute(
            "INSERT INTO codes (id, registration_id, digits, expires_at) VALUES ($1, $2, $3, $4)",
            code, registration, digits, now + timedelta(minutes=1),
        )
    # After the commit, without an outbox: the mail is lost if the process dies here.
    await asyncio.to_thread(send_code.delay, user.email, digits)
    response.headers["Location"] = f"/v1/registrations/{registration}"
    return {
        "registration": str(registration),
        "status": "queued",
        "requested_at": now.isoformat(),
        "code_length": 4,
        "attempts_left": 3,
    }
