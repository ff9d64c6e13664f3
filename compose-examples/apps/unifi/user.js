// The account of UniFi, which owns three databases.
db.getSiblingDB("admin").createUser({
  user: "unifi",
  pwd: process.env.UNIFI_PASSWORD,
  roles: ["unifi", "unifi_stat", "unifi_audit"].map((name) => ({ db: name, role: "dbOwner" })),
});
