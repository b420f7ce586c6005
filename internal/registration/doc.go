// Package registration knows the clients: who a client_id is, which SPIFFE IDs
// belong to it, and by which methods it may authenticate. It answers two
// questions, before and after the credential is judged: which client does the
// request claim to be, and is the proven identity one of that client's?
//
// What a client may have is not asked here but of package policy. Rules CA-2,
// CA-7 to CA-10, CJ-9, CJ-10, CX-2, CX-3, CX-5 and MD-15 to MD-22 (draft
// sections 3.1, 3.2 and 5.1; RFC 7591 section 2 for the names).
package registration
