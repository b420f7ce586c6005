package audit

import (
	"errors"
	"time"
)

// Events of decisions at the endpoints.
const (
	EventToken = "token"
	EventPAR   = "par" // a pushed authorization request
	// EventIntrospect is granted when the token is active, and refused also where the
	// caller was answered that it is not.
	EventIntrospect = "introspect"
	EventRevoke     = "revoke"
)

// EventRegister is the event of a client that was registered by its own first
// request, or that from then on waits for an operator. It comes before that of the
// request, and has the same request id.
const EventRegister = "register"

// Events of a person: what they decided, and what was decided of them.
const (
	EventAuthorize       = "authorize"        // a client gets a code, or is told why not
	EventLogin           = "login"            // somebody signs in
	EventConsent         = "consent"          // somebody lets a client in, or does not
	EventConsentWithdraw = "consent_withdraw" // and takes that back
	EventLogout          = "logout"           // somebody signs out
)

// Events of what an operator changed. Source says who: the administration socket
// with the user at its other end, a signal, or a file that changed.
const (
	EventReload         = "reload"          // another configuration is in force
	EventBundleRefresh  = "bundle_refresh"  // a bundle was fetched out of turn
	EventBundleOverride = "bundle_override" // the same, and one with a lower sequence was to be taken
	EventKeyRotate      = "key_rotate"      // the next signing key was made
	EventKeyRemove      = "key_remove"      // a signing key was removed at once
	EventRevokeByAdmin  = "admin_revoke"    // what was issued up to now was revoked
	EventClientApprove  = "client_approve"  // a workload may be a client
	EventClientBlock    = "client_block"    // a client or a workload gets nothing
	EventClientUnblock  = "client_unblock"  // it does again
	EventClientDelete   = "client_delete"   // a client that registered on first use is none any more
	EventUserAdd        = "user_add"        // somebody can sign in with a password
	EventUserPassword   = "user_password"   // and with another one
	EventUserRemove     = "user_remove"     // and no longer
)

// recordTimeout is how long Record waits for the file. A disk that hangs must not
// collect every request.
const recordTimeout = 5 * time.Second

// Events that the Log writes about itself. They have no outcome.
const (
	eventRecovered = "recovered" // a torn last line was cut off when the file was opened
	eventResumed   = "resumed"   // the first line after a time in which events failed
)

// Values of Event.Outcome.
const (
	Granted = "granted"
	Refused = "refused"
)

// An Event is one decision (AU-1). An empty member is left out of the line.
//
// Nothing here ever holds a token, an assertion, a code or a key (AU-2). What
// only a peer said, and nobody checked, may stand in ClientID, Resource, Scope, SVIDKeyID
// and the like of a refused event: it is escaped, cut and, where it looks like a
// JWT, replaced, but it proves nothing.
type Event struct {
	Event     string // what was decided, such as EventToken; required
	Outcome   string // Granted or Refused; required
	Reason    string // an oauth.Reason; empty when granted
	Rule      string // id of the rule that refused
	Expected  string // by that rule
	Presented string // to that rule, made fit to show by oauth.Shown

	RequestID string
	Endpoint  string // path of the endpoint
	Source    string // address of the peer, as the listener saw it

	ClientID          string
	SPIFFEID          string // concrete, never a pattern
	TrustDomain       string
	Proven            bool   // SPIFFEID was proven, not only claimed
	AuthMethod        string // an oauth.AuthMethod
	SVIDDigest        string // hex SHA-256 of the credential presented: finds its events again without keeping it
	SVIDKeyID         string // kid of the JWT-SVID or WIT-SVID, or serial number of the X.509-SVID (CA-14); of a refused one as far as it was read
	SVIDTokenID       string // jti of the JWT-SVID or WIT-SVID, if it had one; likewise
	Proof             string // hex mark of the proof that was used up: it finds a second use, and shows nothing of the proof
	BundleSequence    uint64 // of the bundle that judged it, or by which it was refused; see HasBundleSequence
	HasBundleSequence bool   // because 0 is a sequence too
	ProfileLegacyUse  []string

	Provider   string // where a person signs in: local, or the name of a provider
	GrantType  string
	Resource   string
	Scope      string
	Subject    string
	PolicyRule string // id of the rule that decided
	GrantID    string // of what a person granted; refused with code_reused or refresh_token_reused, it is revoked

	FirstUse       string // what first use made of the caller: a registration.Outcome
	FirstUseReason string // an oauth.Reason: why it would have refused (mode observe)
	Template       string // by which it registered
	TemplateDigest string // hex SHA-256 of all that the template gives

	Txn     string
	JTI     string    // of what was issued
	KeyID   string    // of the key that signed it
	Binding string    // an oauth.Binding
	Expires time.Time // of what was issued

	Revoked string // admin_revoke: what, as kind and value with a space between
	Note    string // an operator's words on why: admin_revoke, client_*; or what else is to be known of a line

	// What the Log says about itself.
	failedEvents uint64 // resumed: how many events could not be recorded
	lostBytes    int64  // recovered: how many bytes were cut off
	lostDigest   string // recovered: hex SHA-256 of them
}

// check refuses an event that would be a useless line.
func (e *Event) check() error {
	if e.Event == "" {
		return errors.New("the event has no name")
	}
	if e.Outcome != Granted && e.Outcome != Refused {
		return errors.New("the outcome is neither granted nor refused")
	}
	return nil
}
