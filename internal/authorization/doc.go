// Package authorization is what a person grants to a client: the authorization
// request that asks for it, the code and the refresh tokens by which the client
// draws on it, and the record of it.
//
// [Requests] is the side of the browser: it judges authorization requests, whether
// a browser brings them or a client pushed them, and turns a person's word into a
// code. [Grants] is the side of the token endpoint: it judges codes and refresh
// tokens, and says what is then to be written, in one step, once everything else
// is decided. Neither keeps state: that is in [Records].
//
// Rules AZ-1 to AZ-9, RD-1 to RD-6, RT-1 to RT-6, PA-1 to PA-6, IS-1, RI-1, RI-2,
// CW-8, CW-9 and CX-10 live here.
package authorization
