// The peer of the bootstrap benchmark: RxDB Server over its in-memory storage, filled with records of our size.
// Run in a directory of its own where its packages are installed: node rxdb.mjs PORT RECORDS BYTES
import { createRxDatabase } from "rxdb";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import { createRxServer } from "rxdb-server/plugins/server";
import { RxServerAdapterExpress } from "rxdb-server/plugins/adapter-express";

const [port, records, size] = process.argv.slice(2).map(Number);
const database = await createRxDatabase({ name: "bench", storage: getRxStorageMemory(), multiInstance: false });
const { records: collection } = await database.addCollections({
  records: {
    schema: {
      version: 0,
      primaryKey: "id",
      type: "object",
      properties: { id: { type: "string", maxLength: 36 }, name: { type: "string" } },
      required: ["id", "name"],
    },
  },
});
await collection.bulkInsert(
  Array.from({ length: records }, () => ({ id: crypto.randomUUID(), name: "x".repeat(size) })),
);
const server = await createRxServer({ database, adapter: RxServerAdapterExpress, port, hostname: "127.0.0.1" });
await server.addReplicationEndpoint({ name: "records", collection });
await server.start();
