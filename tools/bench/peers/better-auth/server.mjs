// Sign-up with e-mail address and password by better-auth, on one process for each core.

import cluster from "node:cluster";
import { createServer } from "node:http";
import { Algorithm, hash, verify } from "@node-rs/argon2";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import pg from "pg";

const { DATABASE_URL, PORT, PROCESSES, SECRET } = process.env;
const costs = { algorithm: Algorithm.Argon2id, memoryCost: 19456, timeCost: 2, parallelism: 1 };

const auth = betterAuth({
  baseURL: `http://localhost:${PORT}`,
  secret: SECRET,
  database: new pg.Pool({ connectionString: DATABASE_URL, max: 8 }),
  emailAndPassword: {
    enabled: true,
    requireEmailVerification: true,
    password: {
      hash: (password) => hash(password, costs),
      verify: ({ hash: stored, password }) => verify(stored, password),
    },
  },
  // The link is made and not mailed.
  emailVerification: { sendOnSignUp: true, sendVerificationEmail: async () => {} },
  // All requests of the benchmark come from one address.
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
});

if (cluster.isPrimary) {
  await (await getMigrations(auth.options)).runMigrations();
  const processes = Array.from({ length: Number(PROCESSES) }, () => cluster.fork());
  process.on("SIGTERM", () => {
    for (const child of processes) child.process.kill();
    process.exit(0);
  });
} else {
  createServer(toNodeHandler(auth)).listen(Number(PORT), "127.0.0.1");
}
