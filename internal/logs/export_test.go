package logs

import "time"

// SetDeadline bounds the writes to a pipe.
func (f *File) SetDeadline(t time.Time) error { return f.f.SetWriteDeadline(t) }
