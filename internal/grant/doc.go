// Package grant holds a file per grant type. A grant turns an authenticated
// caller and its request into an [Authorization]: the question that policy is
// asked. What all grants share is not here but in the server's pipeline, so a
// new grant cannot forget it.
package grant
