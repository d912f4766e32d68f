// The fleet's stream read by the eventsource package through a door that slams at random: every event once. node streams.mjs URL
// Prints one line for each event, "id data", until it is told to end (a line on its standard input); then how often it was cut off.
import { createRequire } from "node:module";
import http from "node:http";
import net from "node:net";

const require = createRequire(process.env.HF_NODE_DIR + "/");
const { EventSource } = require("eventsource");
const to = new URL(process.argv[2]);
let cuts = 0, first = true;

// Passes bytes on for a while, then breaks off: now and then in the middle of an event.
const door = net.createServer((client) => {
  const server = net.connect(Number(to.port), to.hostname);
  // The first time it learns at least where it begins. At most 12,000 bytes then 8,200 each time: the 50 kB of the test are cut off at least five times.
  let left = (first ? 4000 : 200) + Math.floor(Math.random() * 8000);
  first = false;
  const end = () => { client.destroy(); server.destroy(); };
  client.on("error", end).on("close", end).on("data", (d) => server.write(d));
  server.on("error", end).on("close", end).on("data", (d) => {
    if (d.length < left) { left -= d.length; client.write(d); return; }
    cuts++;
    client.end(d.subarray(0, left));
    server.destroy();
  });
});

await new Promise((f) => door.listen(0, "127.0.0.1", f));
const stream = new EventSource("http://127.0.0.1:" + door.address().port + "/api/v1/events");
stream.addEventListener("transition", (e) => console.log(e.lastEventId + " " + e.data));
stream.addEventListener("begin", () => console.log("begin"));
process.stdin.once("data", () => {
  console.log("cuts " + cuts);
  process.exit(0);
});
