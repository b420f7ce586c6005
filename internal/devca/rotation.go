package devca

import (
	"crypto/x509"
	"fmt"
	"slices"
)

// PrepareX509 publishes the next root beside those in use; the next RotateX509
// puts it to work. A publisher that wants nobody surprised leaves three to five
// refresh intervals between the two (BU-22).
func (a *Authority) PrepareX509() (*x509.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.prepareX509()
}

func (a *Authority) prepareX509() (*x509.Certificate, error) {
	if a.next != nil {
		return a.next.root, nil
	}
	root, issuer, err := a.newIssuer()
	if err != nil {
		return nil, err
	}
	if err := a.publish(append(slices.Clone(a.roots), root), a.keys); err != nil {
		return nil, err
	}
	a.next = issuer
	return root, nil
}

// RotateX509 signs with the prepared root from now on, or with a fresh one that
// is published in the same moment. The old root stays in the bundle until it is
// removed.
func (a *Authority) RotateX509() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.prepareX509(); err != nil {
		return err
	}
	a.issuer, a.next = a.next, nil
	a.announce()
	return nil
}

// RemoveRoot takes a root out of the bundle, be it the one in use: what it
// signed is worthless from then on.
func (a *Authority) RemoveRoot(root *x509.Certificate) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	roots := slices.DeleteFunc(slices.Clone(a.roots), root.Equal)
	if len(roots) == len(a.roots) {
		return fmt.Errorf("devca: that root is not in the bundle")
	}
	return a.publish(roots, a.keys)
}

// PrepareJWTKey publishes the next key for JWT-SVIDs and returns its kid; the
// next RotateJWTKey puts it to work (BU-22).
func (a *Authority) PrepareJWTKey() (kid string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.prepareKey(useJWT)
}

// RotateJWTKey signs JWT-SVIDs with the prepared key from now on, or with a
// fresh one that is published in the same moment, and returns its kid. The old
// key stays in the bundle until it is removed.
func (a *Authority) RotateJWTKey() (kid string, err error) { return a.rotateKey(useJWT) }

// RotateWITKey does for WIT-SVIDs what RotateJWTKey does for JWT-SVIDs.
func (a *Authority) RotateWITKey() (kid string, err error) {
	if !a.opts.WIT {
		return "", errNoWIT
	}
	return a.rotateKey(useWIT)
}

func (a *Authority) prepareKey(u use) (string, error) {
	if k := a.nextKeys[u]; k != nil {
		return k.kid, nil
	}
	k, err := newSigningKey(u, a.opts.JWTAlgorithm)
	if err != nil {
		return "", err
	}
	if err := a.publish(a.roots, append(slices.Clone(a.keys), k)); err != nil {
		return "", err
	}
	a.nextKeys[u] = k
	return k.kid, nil
}

func (a *Authority) rotateKey(u use) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kid, err := a.prepareKey(u)
	if err != nil {
		return "", err
	}
	a.signing[u] = a.nextKeys[u]
	delete(a.nextKeys, u)
	a.announce()
	return kid, nil
}

// RemoveKey takes a key for JWT-SVIDs or WIT-SVIDs out of the bundle, be it the
// one in use: what it signed is worthless from then on.
func (a *Authority) RemoveKey(kid string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys := slices.DeleteFunc(slices.Clone(a.keys), func(k *signingKey) bool { return k.kid == kid })
	if len(keys) == len(a.keys) {
		return fmt.Errorf("devca: no key in the bundle has that kid")
	}
	return a.publish(a.roots, keys)
}

// RemoveOld takes everything out of the bundle that signs neither now nor next.
// It changes nothing, the sequence number included, when there is nothing old.
func (a *Authority) RemoveOld() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	roots := slices.DeleteFunc(slices.Clone(a.roots), func(c *x509.Certificate) bool {
		return c != a.issuer.root && (a.next == nil || c != a.next.root)
	})
	keys := slices.DeleteFunc(slices.Clone(a.keys), func(k *signingKey) bool {
		return k != a.signing[k.use] && k != a.nextKeys[k.use]
	})
	if len(roots) == len(a.roots) && len(keys) == len(a.keys) {
		return nil
	}
	return a.publish(roots, keys)
}
