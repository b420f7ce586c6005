// Package sqlite is the store of one machine: one SQLite file, or memory for tests.
// It keeps what several requests, processes or starts share, and nothing per access
// token.
//
// # What is guaranteed
//
// A write that was answered without an error is on the disk (WAL, synchronous=FULL):
// neither the end of the process nor that of the machine's power takes it away. A
// write that was answered with an error left nothing behind, unless it was the commit
// that failed: a crash may bring back what that held. Reads see what was answered
// before they began. Whatever the store itself cannot do is
// [store.ErrUnavailable].
//
// # How a user of state is added
//
// It declares an interface and values in its own package, and gets here:
//
//   - a migration, migrations/0000N_name.sql, with "-- +goose Up" and nothing else:
//     there is no way back. Tables are STRICT and have a rowid. Times are INTEGER
//     columns of [stamp], digests and keys BLOB.
//
//   - a file name.go with methods of *Store, which are units of work:
//
//     func (s *Store) Consume(ctx context.Context, digest [32]byte, now time.Time) (Code, error) {
//     var c Code
//     err := s.write(ctx, func(w *writing) error {
//     n, err := w.exec(`UPDATE codes SET used = ? WHERE digest = ? AND used = 0 AND expires > ?`, stamp(now), digest[:], stamp(now))
//     if err != nil || n == 0 {
//     return cmp.Or(err, ErrUsed)
//     }
//     return w.row(`SELECT client FROM codes WHERE digest = ?`, []any{digest[:]}, &c.Client)
//     })
//     return c, err
//     }
//
//   - where rows expire, a line var _ = expires("codes", "expires"), and an index that
//     begins with that column: [Store.Run] deletes them. It runs behind, so a query
//     compares the time itself.
//
//   - a file in internal/store/storetest.
//
// All units are run one after the other by one goroutine, up to 256 to a commit and no
// more than are begun within 50 milliseconds. So
// a unit sees no other one half done and needs no lock: it reads, decides and writes.
// It holds up all the others, so it only talks to its *writing: it waits for nothing,
// calls no other method of Store (which would wait for ever) and neither computes nor
// encrypts. It may run without its outcome being seen, if its commit fails: what it
// sets outside counts only after write returned nil. An error of its own undoes it
// alone. It ends by returning, never by runtime.Goexit (t.Fatal).
//
// A read is a snapshot: what its queries find belongs together.
//
// Queries are constants: each one's statement is kept.
//
// [store.ErrUnavailable]: github.com/svidgate/svidgate/internal/store.ErrUnavailable
package sqlite
