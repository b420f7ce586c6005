package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

const (
	// keepInterval is the time between two writes of a document that did not
	// change. Its age on disk is at most so much too high.
	keepInterval = 30 * time.Second
	// keepSkew is how far in the future a kept document may lie.
	keepSkew = time.Minute
	// keptMagic begins a file of ours; a version and a checksum follow.
	keptMagic   = "svidgate-bundle "
	keptVersion = "1"
	// maxKeptHeader bounds what stands before the document in such a file.
	maxKeptHeader = 64 << 10
)

var (
	errNotKept      = errors.New("it is not a bundle that was kept")
	errKeptDamaged  = errors.New("it is damaged: the SHA-256 it names is another one")
	errOtherOrigin  = errors.New("it is of another origin than the configured one")
	errOtherDomain  = errors.New("it is of another trust domain")
	errFromTomorrow = errors.New("it was confirmed in the future")
)

// A kept is the last good document of a trust domain as it is on disk (BE-15).
type kept struct {
	TrustDomain string    `json:"trust_domain"`
	Origin      string    `json:"origin"`
	Confirmed   time.Time `json:"confirmed"` // when the source was asked
	SHA256      string    `json:"sha256"`    // of the document, in hex
	document    []byte
}

// encode writes three parts: a line with the format's version and the SHA-256 of
// all that follows, a line of JSON, and the document as its source sent it.
func (k kept) encode() ([]byte, error) {
	sum := sha256.Sum256(k.document)
	k.SHA256 = hex.EncodeToString(sum[:])
	header, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	rest := append(append(header, '\n'), k.document...)
	whole := sha256.Sum256(rest)
	return append(fmt.Appendf(nil, "%s%s %x\n", keptMagic, keptVersion, whole), rest...), nil
}

// decodeKept reads what encode wrote, and nothing else: one byte that differs is
// one too many.
func decodeKept(data []byte) (kept, error) {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	line, ok := bytes.CutPrefix(line, []byte(keptMagic))
	if !ok {
		return kept{}, errNotKept
	}
	version, sum, _ := bytes.Cut(line, []byte(" "))
	if string(version) != keptVersion {
		return kept{}, fmt.Errorf("its format has the version %s, not %s", oauth.Shown(string(version)), keptVersion)
	}
	if string(sum) != fmt.Sprintf("%x", sha256.Sum256(rest)) {
		return kept{}, errKeptDamaged
	}
	header, document, _ := bytes.Cut(rest, []byte("\n"))
	var k kept
	if err := json.Unmarshal(header, &k); err != nil {
		return kept{}, errNotKept
	}
	if k.SHA256 != fmt.Sprintf("%x", sha256.Sum256(document)) {
		return kept{}, errKeptDamaged
	}
	k.document = document
	return k, nil
}

// A keptFile is where the document of one trust domain is kept. All the domains
// that follow each other under that name share it, and a Set has one for each name.
type keptFile struct {
	folder folder
	name   string
	disk   diskQueue

	mu      sync.Mutex        // guards what follows; never held while the disk is asked
	owner   *domain           // who may write it; nil once the trust domain is gone
	tried   time.Time         // when it was last to be written
	sum     [sha256.Size]byte // of the document that was then to be written
	alien   bool              // what is there has another origin
	on      [sha256.Size]byte // the sum of the document that is on disk; zero if that is not known
	failure string            // why the document is not on disk
}

// fault is why the document is not on disk; empty if it is.
func (k *keptFile) fault() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failure
}

// isDone reports whether the file is nobody's and nothing is left to be done.
func (k *keptFile) isDone() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.owner == nil && k.disk.idle()
}

// file is the one of a name. Its caller holds changing, or is alone.
func (s *Set) file(name string) *keptFile {
	k, ok := s.files[name]
	if !ok {
		k = &keptFile{folder: s.folder, name: name}
		s.files[name] = k
	}
	return k
}

// newKeptDomain is a domain that goes on with what was kept of it, if that is
// any good. Whatever is wrong with it is in the log and stops nobody. Its caller
// holds changing, or is alone.
func (s *Set) newKeptDomain(td TrustDomain) *domain {
	d := newDomain(td)
	if s.folder == "" {
		return d
	}
	d.file = s.file(keptName(d.name))
	d.file.mu.Lock()
	d.file.owner = d
	d.file.mu.Unlock()
	log := s.log.With(keyTrustDomain, d.name.Name(), keyKept, s.folder.path(d.file.name))
	switch err := s.restore(d); {
	case err == nil:
		log.Info("kept bundle restored", keyOrigin, d.origin, keyConfirmed, d.current.Load().fetchedAt)
	case !errors.Is(err, fs.ErrNotExist):
		if d.floor.Present {
			log = log.With(keySequence, d.floor.Number) // it still counts
		}
		log.Warn("kept bundle put aside", keyWhy, err.Error())
	}
	return d
}

// restore puts in use what was kept: for this name and origin only, and if
// today's rules accept it. It is as old as it was, so that a restart makes no
// bundle younger (BE-15), and its sequence goes on to count, even if nothing else
// of it does (BU-14).
func (s *Set) restore(d *domain) error {
	data, err := s.readKept(d.file)
	if err != nil {
		return err
	}
	k, err := decodeKept(data)
	switch {
	case err != nil:
		return err
	case k.TrustDomain != d.name.Name():
		return errOtherDomain
	case k.Origin != d.origin:
		d.file.mu.Lock()
		defer d.file.mu.Unlock()
		d.file.alien = true
		return errOtherOrigin
	}
	now, moment := s.now(), time.Now()
	if k.Confirmed.Sub(now) > keepSkew {
		d.floor = sequenceOf(k.document)
		return errFromTomorrow
	}
	snapshot, err := Parse(d.name, k.document, k.Confirmed)
	if err != nil {
		d.floor = sequenceOf(k.document)
		return err
	}
	snapshot.confirmedAt(k.Confirmed, moment, now.Round(0).Sub(k.Confirmed))
	snapshot.generation = s.generation.Add(1)
	d.document = sha256.Sum256(k.document)
	d.fromDisk = true
	d.current.Store(snapshot)
	d.file.mu.Lock()
	defer d.file.mu.Unlock()
	d.file.tried, d.file.sum, d.file.on = k.Confirmed, d.document, d.document
	return nil
}

// readKept reads a file once nothing is left to be done with it. If one could not
// be read in time, the next ones are not waited for.
func (s *Set) readKept(k *keptFile) ([]byte, error) {
	var data []byte
	task := k.disk.add(diskRead, func() (err error) {
		data, err = k.folder.read(k.name)
		return err
	})
	ctx, cancel := waitForDisk()
	defer cancel()
	if s.hangs {
		cancel()
	}
	if err := k.disk.wait(ctx, task); err != nil {
		s.hangs = s.hangs || errors.Is(err, errDiskHangs)
		return nil, err // and data may yet be written to
	}
	return data, nil
}

// keep writes what was fetched to disk before it is in use: once it has judged
// anything, no crash leads back to the bundle before it (BU-14). That it cannot
// be kept is told, and no reason to refuse it.
func (s *Set) keep(d *domain, f *fetched) {
	if d.file == nil || f.document.Local {
		return
	}
	_, _ = d.file.write(d, f) // fault tells
}

// write keeps what d fetched, and reports whether it tried to. A document that
// is on disk already, or could not be written just now, has to wait. Nobody waits
// longer than diskWait; the write then goes on by itself.
func (k *keptFile) write(d *domain, f *fetched) (tried bool, err error) {
	k.mu.Lock()
	if since := f.started.Sub(k.tried); k.owner != d || // BE-16: what is gone does not come back
		k.sum == f.sum && since >= 0 && since < keepInterval {
		k.mu.Unlock()
		return false, nil
	}
	data, err := kept{
		TrustDomain: d.name.Name(), Origin: d.origin, Confirmed: f.started.UTC(), document: f.document.Bytes,
	}.encode()
	if err != nil { // it cannot be
		k.failure = err.Error()
		k.mu.Unlock()
		return true, err
	}
	k.tried, k.sum, k.alien = f.started, f.sum, false
	over, sum := false, f.sum // over is guarded by mu
	task := k.disk.add(diskWrite, func() error {
		on, err := k.replace(sum, data)
		k.mu.Lock()
		defer k.mu.Unlock()
		if over, k.on, k.failure = true, on, ""; err != nil {
			k.failure = err.Error()
		}
		return err
	})
	k.mu.Unlock()
	ctx, cancel := waitForDisk()
	defer cancel()
	err = k.disk.wait(ctx, task)
	k.mu.Lock()
	defer k.mu.Unlock()
	if errors.Is(err, errDiskHangs) && !over && k.owner == d {
		k.failure = err.Error()
	}
	return true, err
}

// replace puts a document on disk and returns the sum of the one that is there
// afterwards, if that is known. If it cannot, then rather none than one before it,
// which must not be trusted again after a crash (BU-14); without that one there
// may be room.
func (k *keptFile) replace(sum [sha256.Size]byte, data []byte) (on [sha256.Size]byte, err error) {
	k.mu.Lock()
	on = k.on
	k.mu.Unlock()
	err = k.folder.write(k.name, data, k.disk.removing)
	switch {
	case err == nil:
		return sum, nil
	case on == sum, errors.Is(err, errSuperseded):
		return on, err
	}
	if removed := k.folder.remove(k.name); removed != nil {
		return on, fmt.Errorf("%w; nor could the one before it be deleted: %w", err, removed)
	}
	if err = k.folder.write(k.name, data, k.disk.removing); err != nil {
		return [sha256.Size]byte{}, err
	}
	return sum, nil
}

// handOver makes another domain the one that may write. What there is belongs to
// its origin and stays only with that; otherwise its removal is returned, which
// somebody may wait for.
func (k *keptFile) handOver(next *domain, sameOrigin bool) *diskTask {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owner = next
	if sameOrigin {
		return nil
	}
	k.tried, k.sum, k.alien, k.failure = time.Time{}, [sha256.Size]byte{}, false, ""
	return k.disk.add(diskRemove, func() error {
		err := k.folder.remove(k.name)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.on, k.failure = [sha256.Size]byte{}, ""
		return err
	})
}

// sweep removes the file if it serves nobody when its turn comes: it is ours, and
// of a trust domain that there is none of, or of another origin (BE-16).
func (k *keptFile) sweep() (removed bool, err error) {
	task := k.disk.add(diskSweep, func() error {
		k.mu.Lock()
		unused, alien := k.owner == nil, k.alien
		k.mu.Unlock()
		if !alien && (!unused || !k.folder.isOurs(k.name)) {
			return nil
		}
		removed = true
		err := k.folder.remove(k.name)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.alien, k.on = alien && err != nil, [sha256.Size]byte{}
		return err
	})
	<-task.ended
	return removed, task.err
}
