package e2e_test

// quietly is a configuration in which nothing is fetched and nothing is live.
const quietly = `
gateway: {listen: "GATEWAY"}
sources: {builtin: false}
checker: {judges: ["http://127.0.0.1:1/"], own_ips: [127.0.0.1]}
`
