"""The read engine: an operation of mapped fields becomes SQL and a function that builds the answer.

The ordinary executor stays the definition of what is right, and answers wherever this one has any doubt.

    engine.py     one request: find the plan, bind the variables, ask, build, encode
    plans.py      the plans made so far, and what each depends on
    unknown.py    variables whose values a plan does not know
    compiling.py  an operation, field by field
    lists.py      lists: rows, cursors and counts
    blocks.py     one SELECT: a table, its to-one joins and its columns
    columns.py    how a column's value becomes JSON
    sql.py        what differs between the databases
    building.py   the function that builds the answer
    finishing.py  fields with resolvers, for the rows that were found
"""
