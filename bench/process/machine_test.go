package process

import "testing"

func TestMachineTime(t *testing.T) {
	earlier, err := parseMachineTime([]byte("cpu  100 0 50 800 50 0 0 0 0 0"))
	if err != nil {
		t.Fatal(err)
	}
	later, err := parseMachineTime([]byte("cpu  120 5 60 850 60 3 2 100 7 0"))
	if err != nil {
		t.Fatal(err)
	}
	// Of 200 ticks 60 were idle or waiting and 100 stolen.
	if busy, stolen := later.Since(earlier); busy < 0.199 || busy > 0.201 || stolen != 0.5 {
		t.Errorf("%.3f were busy and %.3f stolen, want 0.2 and 0.5", busy, stolen)
	}
	if busy, stolen := later.Since(later); busy != 0 || stolen != 0 {
		t.Errorf("no time has passed, but %v were busy and %v stolen", busy, stolen)
	}
	for _, line := range []string{"", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3", "cpu 1 2 3 4 x 6 7 8"} {
		if _, err := parseMachineTime([]byte(line)); err == nil {
			t.Errorf("%q was read", line)
		}
	}
	if _, err := ReadMachineTime(); err != nil {
		t.Error(err)
	}
}
