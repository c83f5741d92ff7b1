// The story as told by a client without a cache, which only sends documents and gives answers.
import {
  BAD,
  CHANGES,
  CREATE,
  GOOD,
  HISTORY,
  PAGE,
  distinct,
  hearing,
  names,
  resuming,
  say,
  since,
} from './story.mjs'

export async function plainly(client) {
  async function ask(query, variables) {
    for await (const { data, errors } of client.iterate({ query, variables })) {
      if (errors) throw new Error(JSON.stringify(errors))
      return data
    }
  }

  say({ created: (await ask(CREATE, { input: GOOD })).createCustomer.name })
  say({ refused: (await ask(CREATE, { input: BAD })).createCustomer })

  for (let after = null, found = ''; after !== undefined; ) {
    const { customers } = await ask(PAGE, { first: 2, after })
    say({ forward: (found += names(customers)) })
    after = customers.pageInfo.hasNextPage ? customers.pageInfo.endCursor : undefined
  }
  for (let before = null, found = ''; before !== undefined; ) {
    const { customers } = await ask(PAGE, { last: 2, before })
    say({ backward: (found = names(customers) + found) })
    before = customers.pageInfo.hasPreviousPage ? customers.pageInfo.startCursor : undefined
  }

  const id = await new Promise((resolve, reject) => {
    const listener = hearing(resolve)
    const next = ({ data }) => listener(data.changes)
    resuming(client)({ query: CHANGES, variables: { since } }, { next, error: reject, complete() {} })
  })
  say({ cached: distinct((await ask(HISTORY, { id })).changes) })
  await client.dispose()
}
