"""Sign-up with e-mail address and password by fastapi-users, with SQLAlchemy on asyncpg."""

import os
import uuid
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.password import PasswordHelper
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

SECRET = os.environ["SECRET"]

engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgres://", "postgresql+asyncpg://"), pool_size=8, max_overflow=0
)
new_session = async_sessionmaker(engine, expire_on_commit=False)
hasher = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19456, parallelism=1),))


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class Manager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    reset_password_token_secret = SECRET
    verification_token_secret = SECRET

    async def on_after_register(self, user: User, request: Request | None = None) -> None:
        # The token is made and not mailed.
        await self.request_verify(user, request)


async def manager() -> AsyncIterator[Manager]:
    async with new_session() as session:
        yield Manager(SQLAlchemyUserDatabase(session, User), PasswordHelper(hasher))


bearer = AuthenticationBackend(
    "jwt", BearerTransport("auth/login"), lambda: JWTStrategy(SECRET, lifetime_seconds=3600)
)
users = FastAPIUsers[User, uuid.UUID](manager, [bearer])
app = FastAPI()
app.include_router(users.get_register_router(schemas.BaseUser[uuid.UUID], schemas.BaseUserCreate), prefix="/auth")


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
