// Package historytest has the tests that every [history.Engine] passes: a table of what is promised,
// and random schedules that are compared with a model.
package historytest
