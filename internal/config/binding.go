package config

import "github.com/svidgate/svidgate/internal/policy"

// binding reads a key `binding`. It warns of none, and of required where nothing
// can be bound: that refuses every token, which is safe but hardly meant.
func (t *table) binding(otherwise policy.BindingMode) policy.BindingMode {
	b := oneOf(t, "binding", otherwise, policy.BindAuto, policy.BindRequired, policy.BindNone)
	switch {
	case !t.has("binding"):
	case b == policy.BindNone:
		t.r.warn(t.place("binding"), "%s is none: whoever sees such a token can use it", t.name("binding"))
	case b == policy.BindRequired && !t.r.certificates:
		t.r.warn(t.place("binding"), "%s is required, but no listener asks for client certificates, so every token it is about is refused, except to clients of spiffe_wit", t.name("binding"))
	}
	return b
}
