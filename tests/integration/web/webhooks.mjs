// Deliveries as they arrived (a JSON list on stdin) checked by the standardwebhooks package: node webhooks.mjs SECRET...
// Prints how often one of the secrets verified, and how often a body with one byte more was refused.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.env.HF_NODE_DIR + "/");
const { Webhook } = require("standardwebhooks");
let verified = 0, refused = 0;
for (const { body, headers } of JSON.parse(readFileSync(0, "utf8"))) {
  for (const secret of process.argv.slice(2)) {
    const hook = new Webhook(secret);
    if (hook.verify(body, headers).type) verified++;
    try {
      hook.verify(body + " ", headers);
    } catch {
      refused++;
    }
  }
}
console.log(JSON.stringify({ verified, refused }));
