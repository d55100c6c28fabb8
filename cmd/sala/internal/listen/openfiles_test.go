package listen

import "testing"

func TestMaxClients(t *testing.T) {
	for files, want := range map[int64]int64{100: 50, 256: 192, 1024: 922, 20_000: 18_976, 1 << 30: 1<<30 - 1024} {
		if got := MaxClients(files); got != want {
			t.Errorf("%d files: %d clients, want %d", files, got, want)
		}
	}
}
