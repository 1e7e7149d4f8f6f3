// The health check of the stack's MongoDB, in mongosh. The first one makes its server a replica set of one member, which is what fastlane
// expects, and to which more members can be added later.
const { readFileSync } = require("fs");
db.getSiblingDB("admin").auth("fastlane", readFileSync("/run/secrets/fastlane_mongo_password", "utf8").trim());
try {
  rs.status();
} catch (error) {
  if (error.codeName !== "NotYetInitialized") throw error;
  rs.initiate({_id: "fastlane", members: [{_id: 0, host: "mongo:27017"}]});
}
if (!db.hello().isWritablePrimary) throw new Error("not the primary yet");
