// Package e2e runs the built program as a stranger meets it: `svidgate serve` as
// a child process, real TLS, trust domains behind real bundle endpoints, requests
// byte by byte. It holds tests only.
//
// Every call is checked against what each answer must have (a Request-Id, one
// audit line or none, no-store), every server against what each run must leave
// (an audit chain that verifies, JSON lines in the log, exit code 0), and
// everything that any server put out is searched, at the end, for every
// credential that any test made.
//
// Each row of a table has one defect, stands beside a request without it that is
// accepted, and names the rule that refuses it.
//
//	go test ./e2e            builds the program and runs everything
//	go test ./e2e -update    writes testdata/*.golden anew
package e2e
