import { Client, fetchExchange, subscriptionExchange } from '@urql/core'
import { cacheExchange } from '@urql/exchange-graphcache'
import { relayPagination } from '@urql/exchange-graphcache/extras'
import { buildSchema, introspectionFromSchema } from 'graphql'
import { readFileSync } from 'node:fs'

import {
  BAD,
  CHANGES,
  CREATE,
  GOOD,
  HISTORY,
  PAGE,
  distinct,
  headers,
  hearing,
  names,
  resuming,
  say,
  since,
  socket,
  url,
} from './story.mjs'

const wire = socket()
const subscribe = resuming(wire)
const forwardSubscription = ({ query, variables }) => ({
  subscribe: (sink) => ({ unsubscribe: subscribe({ query, variables }, sink) }),
})
const file = new URL('../../../../schema/schema.graphql', import.meta.url)
const schema = introspectionFromSchema(buildSchema(readFileSync(file, 'utf-8')))
const keys = { FieldError: () => null, Refusal: () => null }
const started = () =>
  new Client({
    url,
    fetchOptions: { headers },
    exchanges: [
      cacheExchange({ schema, keys, resolvers: { Query: { customers: relayPagination() } } }),
      fetchExchange,
      subscriptionExchange({ forwardSubscription }),
    ],
  })

const client = started()
async function answered(operation) {
  const { data, error } = await operation
  if (error) throw error
  return data
}

say({ created: (await answered(client.mutation(CREATE, { input: GOOD }))).createCustomer.name })
const { code, errors } = (await answered(client.mutation(CREATE, { input: BAD }))).createCustomer
say({ refused: { code, errors: errors.map(({ field }) => ({ field })) } })

async function pages(variables, more, said) {
  const client = started()
  while (variables) {
    const { customers } = await answered(client.query(PAGE, variables))
    say({ [said]: names(customers) })
    const next = more(customers.pageInfo)
    variables = next && { ...variables, ...next }
  }
}
await pages({ first: 2 }, (page) => page.hasNextPage && { after: page.endCursor }, 'forward')
await pages({ last: 2 }, (page) => page.hasPreviousPage && { before: page.startCursor }, 'backward')

const id = await new Promise((resolve) => {
  const listener = hearing((id) => {
    // Otherwise urql repeats the last change when the socket closes.
    unsubscribe()
    resolve(id)
  })
  const { unsubscribe } = client.subscription(CHANGES, { since }).subscribe(({ data }) => listener(data.changes))
})

await answered(client.query(HISTORY, { id }))
const cached = client.readQuery(HISTORY, { id }, { requestPolicy: 'cache-only' })
say({ cached: distinct(cached.data.changes) })
await wire.dispose()
