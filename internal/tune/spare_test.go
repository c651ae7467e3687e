package tune

import "testing"

// TestSpares: memory is given back when there is enough and the program is calm, and what
// could not be returned is no reason to try again.
func TestSpares(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for _, tt := range []struct {
		name string
		m    memory
		left uint64
		want bool
	}{
		{"garbage", memory{objects: 30 * mb, live: 10 * mb}, 0, true},
		{"free", memory{objects: 10 * mb, live: 10 * mb, free: 9 * mb}, 0, true},
		{"both", memory{objects: 13 * mb, live: 10 * mb, free: 2 * mb}, 0, true},
		{"little", memory{objects: 11 * mb, live: 10 * mb, free: 2 * mb}, 0, false},
		{"little of much", memory{objects: 107 * mb, live: 100 * mb, free: 4 * mb}, 0, false},
		{"much of much", memory{objects: 109 * mb, live: 100 * mb, free: 4 * mb}, 0, true},
		{"busy", memory{made: 2 * mb, objects: 30 * mb, live: 10 * mb}, 0, false},
		{"nearly calm", memory{made: mb - 1, objects: 30 * mb, live: 10 * mb}, 0, true},
		{"what stayed", memory{objects: 10 * mb, live: 10 * mb, free: 17 * mb}, 13 * mb, false},
		{"more than stayed", memory{objects: 12 * mb, live: 10 * mb, free: 20 * mb}, 13 * mb, true},
		{"less than stayed", memory{objects: 10 * mb, live: 10 * mb, free: 7 * mb}, 13 * mb, false},
		{"after a collection between", memory{objects: 9 * mb, live: 10 * mb}, 0, false},
	} {
		s := spares{left: tt.left}
		if got := s.due(tt.m); got != tt.want {
			t.Errorf("%s: due = %v, want %v", tt.name, got, tt.want)
		}
	}
	s := spares{left: 20 * mb}
	s.due(memory{objects: 10 * mb, live: 10 * mb, free: 2 * mb})
	if !s.due(memory{objects: 10 * mb, live: 10 * mb, free: 11 * mb}) {
		t.Error("what stayed and went later counts for ever")
	}
}

// TestGiveBack: it ends when it is told to, and the runtime knows all that it asks for.
func TestGiveBack(t *testing.T) {
	t.Setenv("GOGC", "")
	giveBack()()
	garbage = make([]byte, 1<<20)
	if m := (memory{}).now(); m.made < 1<<20 || m.objects < 1<<20 || m.made < m.objects {
		t.Errorf("memory %+v", m)
	}
}

// garbage keeps what a test allocates.
var garbage []byte
